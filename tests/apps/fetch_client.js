// Fetches each size twenty times, over the connections that fetch keeps, and says what came: length and hash.
const crypto = require("crypto");

async function main() {
  const [base, ...sizes] = process.argv.slice(2);
  const begun = process.hrtime.bigint();
  for (let round = 0; round < 20; round++) {
    const bodies = sizes.map(async (size) => {
      const response = await fetch(`${base}/size/${size}`);
      const body = Buffer.from(await response.arrayBuffer());
      return `${body.length} ${crypto.createHash("sha256").update(body).digest("hex")}`;
    });
    console.log((await Promise.all(bodies)).join("\n"));
  }
  console.error(`took ${Number(process.hrtime.bigint() - begun) / 1e6} ms`);
}

main();
