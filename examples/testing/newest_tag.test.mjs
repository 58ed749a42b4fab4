// Tests in JavaScript with a fake registry in a process of its own, which they fill by its control API.
//
// node --test examples/testing/newest_tag.test.mjs
// PYTHON is the Python that has v1registry_fakes; python3 if it is not set.

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {after, before, beforeEach, test} from 'node:test';

import {newestTag} from './newest_tag.mjs';

let fakes, url;

async function control(method, path, body) {
  const answer = await fetch(`${url}/_fakes/${path}`, {method, body: JSON.stringify(body)});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.status === 204 ? null : answer.json();
}

before(async () => {
  // it ends with this process, even if that is killed
  fakes = spawn(process.env.PYTHON ?? 'python3', ['-m', 'v1registry_fakes', '--end-with-stdin']);
  const [line] = await once(createInterface({input: fakes.stdout}), 'line');
  ({url} = JSON.parse(line));
});

after(async () => {
  fakes.stdin.end();
  const [code] = await once(fakes, 'exit');
  assert.equal(code, 0);
});

beforeEach(async () => {
  await control('POST', 'reset');
  for (const tag of ['1.9', '1.10', 'latest']) {
    await control('POST', 'images', {name: `alice/app:${tag}`, files: {'etc/version': tag}, api: 'v2'});
  }
});

test('versions are compared by number', async () => {
  assert.equal(await newestTag(url, 'alice/app'), '1.10');
});

test('a registry that is not available is asked again', async () => {
  await control('POST', 'faults', {path: '*/tags/list', status: 503, times: 2});

  assert.equal(await newestTag(url, 'alice/app'), '1.10');

  assert.equal((await control('GET', 'requests?path=*/tags/list&wait_s=5&count=3')).length, 3);
});

test('a missing repository is an error', async () => {
  await assert.rejects(newestTag(url, 'alice/none'), /alice\/none: 404/);
});
