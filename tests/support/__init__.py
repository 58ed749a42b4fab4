"""What tests share: engines, servers, worlds, clocks and storages with faults."""
