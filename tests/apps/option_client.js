// Requests to another host over one connection that is kept. Arguments: `https` or `h2`, the URL, how many requests,
// and for `h2` how many streams at once.
'use strict';
const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
const [kind, url, count, streams] = process.argv.slice(2);

function get(agent, path) {
  return new Promise((resolve, reject) => {
    https.get(url + path, { agent }, (response) => response.resume().on('end', resolve)).on('error', reject);
  });
}

function stream(session, path) {
  return new Promise((resolve, reject) => {
    const request = session.request({ ':path': path });
    request.on('error', reject).on('end', resolve).resume();
    request.end();
  });
}

async function main() {
  // Whoever is to look at this process has looked by the time that it is told to begin.
  console.log('waiting');
  while (!fs.existsSync(process.env.START)) await new Promise((resolve) => setTimeout(resolve, 20));
  if (kind === 'https') {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    for (let number = 0; number < Number(count); number++) await get(agent, `/node/${number}`);
    agent.destroy();
    return;
  }
  const session = http2.connect(url);
  const lane = async (first) => {
    for (let number = first; number < Number(count); number += Number(streams)) {
      await stream(session, `/h2/${number}`);
    }
  };
  await Promise.all(Array.from({ length: Number(streams) }, (_, first) => lane(first)));
  session.close();
}

main();
