// A program in JavaScript: it finds the newest version of an image. Its tests are in newest_tag.test.mjs.

/** Returns the highest tag such as 1.10.2. Asks again, `attempts` times in all, while the registry is not available. */
export async function newestTag(url, repository, {attempts = 3} = {}) {
  for (let attempt = 1; ; attempt++) {
    const answer = await fetch(`${url}/v2/${repository}/tags/list`);
    if (answer.status === 503 && attempt < attempts) continue;
    if (!answer.ok) throw new Error(`${repository}: ${answer.status}`);
    const versions = (await answer.json()).tags.filter((tag) => /^\d+(\.\d+)*$/.test(tag));
    return versions.sort((a, b) => a.localeCompare(b, 'en', {numeric: true})).at(-1);
  }
}
