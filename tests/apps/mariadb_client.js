// What MariaDB's own connector does: commands that are not waited for, and one statement for many rows.
const assert = require('node:assert');
const mariadb = require('mariadb');

const CANARY = 'canary-7f3a';

async function main() {
  const { DB_PORT, DB_USER, DB_PASSWORD, DB_NAME } = process.env;
  const connection = await mariadb.createConnection({
    host: '127.0.0.1', port: Number(DB_PORT), user: DB_USER, password: DB_PASSWORD, database: DB_NAME,
    pipelining: true, compress: process.argv.includes('compress'),
  });
  await connection.query('CREATE TABLE orders (id int PRIMARY KEY, note text)');
  await Promise.all([
    connection.query('INSERT INTO orders VALUES (1, ?)', [CANARY]),
    connection.query('SELECT id FROM orders WHERE note = ?', [CANARY]),
    connection.query('UPDATE orders SET note = ? WHERE id = 1', [CANARY + CANARY]),
  ]);
  const done = await connection.batch('INSERT INTO orders VALUES (?, ?)', [[2, CANARY], [3, null], [4, CANARY]]);
  assert.equal(done.affectedRows, 3);
  for (let id = 0; id < 3; id += 1) {
    const rows = await connection.execute('SELECT note FROM orders WHERE id = ?', [id]);
    assert.equal(rows.length, id === 0 ? 0 : 1);
  }
  await assert.rejects(connection.execute('SELECT price FROM absent WHERE note = ?', [CANARY]), { errno: 1146 });
  await connection.query('DROP TABLE orders');
  await connection.end();
}

main();
