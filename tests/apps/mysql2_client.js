// What a program with mysql2 does with MariaDB: statements with text, and prepared ones.
const assert = require('node:assert');
const mysql = require('mysql2/promise');

const CANARY = 'canary-7f3a';

async function main() {
  const { DB_PORT, DB_USER, DB_PASSWORD, DB_NAME } = process.env;
  const connection = await mysql.createConnection({
    host: '127.0.0.1', port: Number(DB_PORT), user: DB_USER, password: DB_PASSWORD, database: DB_NAME,
  });
  await connection.query('CREATE TABLE carts (id int PRIMARY KEY, owner text)');
  await connection.query('INSERT INTO carts VALUES (1, ?), (2, ?)', [CANARY, CANARY]);
  for (let id = 0; id < 3; id += 1) {
    const [rows] = await connection.execute('SELECT id, owner FROM carts WHERE id = ?', [id]);
    assert.equal(rows.length, id === 0 ? 0 : 1);
  }
  await connection.execute('UPDATE carts SET owner = ? WHERE id = ?', [CANARY, 2]);
  await assert.rejects(connection.execute('INSERT INTO carts VALUES (?, ?)', [1, CANARY]), { errno: 1062 });
  await assert.rejects(connection.execute('SELECT price FROM absent WHERE owner = ?', [CANARY]), { errno: 1146 });
  await connection.ping();
  await connection.changeUser({ database: 'mysql' });
  await connection.query('SELECT 1');
  await connection.end();
}

main();
