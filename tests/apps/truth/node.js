// Ground truth on one event loop: Node's http, its fetch, or pg, whichever CLIENT names. See tests/src/truth.
// Takes a port.
'use strict';
const http = require('node:http');

const { CLIENT, UPSTREAM } = process.env;
const agent = new http.Agent({ keepAlive: true });

const get = (path) => new Promise((resolve, reject) => {
  http.get(UPSTREAM + path, { agent }, (answer) => {
    answer.resume().on('end', resolve).on('error', reject);
  }).on('error', reject);
});

const clients = {
  http: (id, number) => get(`/up/${id}/${number}`),
  fetch: async (id, number) => { await (await fetch(`${UPSTREAM}/up/${id}/${number}`)).text(); },
  pg: () => {
    const { Pool } = require('pg');
    const pool = new Pool({ max: 24 });
    return (id, number) => pool.query(`SELECT pg_sleep(${Math.random() * 0.008}) AS r${id}_${number}`);
  },
};
const call = CLIENT === 'pg' ? clients.pg() : clients[CLIENT];
const pause = () => new Promise((resolve) => { setTimeout(resolve, Math.random() * 5); });

const patterns = {
  seq: async (id) => { await call(id, 1); await call(id, 2); },
  pause: async (id) => { await pause(); await call(id, 1); await pause(); await call(id, 2); await pause(); },
  fan: async (id) => { await Promise.all([call(id, 1), call(id, 2)]); await call(id, 3); },
  // The second program of the chain.
  node: (id) => get(`/python/${id}`),
};

const server = http.createServer(async (request, response) => {
  const [, pattern, id] = request.url.split('/');
  try {
    await patterns[pattern](id);
    response.end('ok');
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), '127.0.0.1');
