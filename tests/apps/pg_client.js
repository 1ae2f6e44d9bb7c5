// What a node-postgres program does with PostgreSQL; the connection is in libpq's environment variables.
const { Readable } = require('stream');
const { pipeline } = require('stream/promises');
const { Client } = require('pg');
const copy = require('pg-copy-streams');

const CANARY = 'canary-7f3a';

async function main() {
  const ssl = process.env.PGSSLMODE === 'require' ? { rejectUnauthorized: false } : false;
  const client = new Client({ ssl });
  await client.connect();
  // Without values: the simple protocol.
  await client.query('CREATE TABLE parts (id int PRIMARY KEY, name text)');
  await client.query(`INSERT INTO parts VALUES (1, '${CANARY}'), (2, '${CANARY}')`);
  await client.query(`SELECT name FROM parts WHERE name = '${CANARY}'; SELECT count(*) FROM parts`);
  // With values: an unnamed statement, prepared for each.
  for (const id of [1, 2, 3]) await client.query('SELECT name FROM parts WHERE id = $1', [id]);
  // Named: prepared once.
  for (const name of [CANARY, 'nothing', CANARY]) {
    await client.query({ name: 'by-name', text: 'SELECT id FROM parts WHERE name = $1', values: [name] });
  }
  // Queued at once.
  await Promise.all([1, 2].map((id) => client.query('UPDATE parts SET name = $2 WHERE id = $1', [id, CANARY])));
  const rows = Readable.from([3, 4, 5].map((id) => `${id}\t${CANARY}\n`));
  await pipeline(rows, client.query(copy.from('COPY parts FROM STDIN')));
  let copied = '';
  for await (const bytes of client.query(copy.to('COPY parts TO STDOUT'))) copied += bytes;
  if (copied.split('\n').length !== 6) process.exit(1);
  const noticed = new Promise((resolve) => client.once('notice', resolve));
  await client.query(`DO $$ BEGIN RAISE NOTICE '${CANARY}'; END $$`);
  await noticed;
  for (const values of [undefined, [1]]) {
    const refused = client.query(values ? 'SELECT 1 / ($1::int - 1)' : 'SELECT * FROM absent', values);
    await refused.then(() => process.exit(1), () => {});
  }
  await client.query('DELETE FROM parts');
  await client.end();
}

main();
