// Pulls an image, runs a container, reads its logs and removes it. Prints what it saw as JSON.
'use strict';
const Docker = require('dockerode');
const { PassThrough } = require('stream');

async function main() {
  const [host, port] = process.env.DOCKER_HOST.replace('tcp://', '').split(':');
  const docker = new Docker({ protocol: 'http', host, port });
  const pull = await docker.pull('alice/app:1.0');
  await new Promise((done, failed) => {
    docker.modem.followProgress(pull, (error) => (error ? failed(error) : done()));
  });
  const container = await docker.createContainer({ Image: 'alice/app:1.0', name: 'one' });
  await container.start();
  const { StatusCode: code } = await container.wait();
  const texts = { out: '', err: '' };
  const streams = {};
  for (const name of ['out', 'err']) {
    streams[name] = new PassThrough();
    streams[name].on('data', (chunk) => { texts[name] += chunk; });
  }
  const logs = await container.logs({ follow: true, stdout: true, stderr: true });
  await new Promise((done) => {
    logs.on('end', done);
    docker.modem.demuxStream(logs, streams.out, streams.err);
  });
  const status = (await container.inspect()).State.Status;
  await container.remove();
  const left = (await docker.listContainers({ all: true })).length;
  console.log(JSON.stringify({ status, code, ...texts, left }));
}

main().catch((error) => { console.error(error); process.exit(1); });
