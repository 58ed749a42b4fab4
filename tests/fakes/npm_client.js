// A test in JavaScript: it fills a fake by the control API, and reads it with npm's docker-registry-client.
//
// usage: node npm_client.js URL
// It prints what the client of v1 and that of /v2/ got, as JSON.
'use strict';

const crypto = require('crypto');
const {createClientV1, createClientV2} = require('docker-registry-client');

const url = process.argv[2];
const name = `${new URL(url).host}/alice/app`;

async function control(method, path, body) {
  const answer = await fetch(`${url}/_fakes/${path}`, {method, body: JSON.stringify(body)});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}

// Calls a method of a client, and returns the first results of its callback.
function call(client, method, ...values) {
  return new Promise((resolve, reject) =>
    client[method](...values, (error, ...results) => (error ? reject(error) : resolve(results))));
}

async function digestOf(stream) {
  const hash = crypto.createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

async function readV1() {
  const client = createClientV1({name, scheme: 'http'});
  const [tags] = await call(client, 'listRepoTags');
  const [imgId] = await call(client, 'getImgId', {tag: '1.0'});
  const [ancestry] = await call(client, 'getImgAncestry', {imgId});
  const [json] = await call(client, 'getImgJson', {imgId});
  const [stream] = await call(client, 'getImgLayerStream', {imgId});
  const layer = await digestOf(stream);
  const [found] = await call(client, 'search', {term: 'app'});
  client.close();
  return {tags, imgId, ancestry, command: json.config.Cmd, layer, found: found.results.map((hit) => hit.name)};
}

async function readV2() {
  const client = createClientV2({name, insecure: true});
  const [isThere] = await call(client, 'supportsV2');
  const [tags] = await call(client, 'listTags');
  const [manifest] = await call(client, 'getManifest', {ref: '1.0', maxSchemaVersion: 2});
  const {digest} = manifest.layers[0];
  const [stream] = await call(client, 'createBlobReadStream', {digest});
  const layer = await digestOf(stream);
  client.close();
  return {isThere, tags: tags.tags, digest, layer};
}

async function main() {
  const image = await control('POST', 'images',
    {name: 'alice/app:1.0', files: {'etc/motd': 'hello'}, config: {Cmd: ['sh']}});
  await control('POST', 'faults', {path: '*/ancestry', delay_s: 0.01, times: 1});
  const v1 = await readV1();
  const faults = await control('GET', 'faults');
  const v2 = await readV2();
  const requests = await control('GET', 'requests?path=/v2/*');
  await control('POST', 'reset');
  const {repositories} = await control('GET', 'contents');
  console.log(JSON.stringify({image, v1, v2, faults, asked: requests.length, repositories}));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
