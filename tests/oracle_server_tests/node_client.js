// Reads one request from standard input, does it with node-oracledb, and writes what came back as JSON.
//
// A request is {"connect": {...}, "statements": [{"sql": ..., "binds": [...], "rows": rows a fetch}, ...]}; the answer has
// for the logon and for each statement what it gave: columns, rows, and the error that ended it. Values are texts.
"use strict";
const oracledb = require(process.argv[2]);

oracledb.fetchTypeHandler = (column) => {
  if (column.dbType === oracledb.DB_TYPE_NUMBER) return { type: oracledb.STRING };  // exact
};

const text = async (value) => {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("hex");
  if (value instanceof oracledb.Lob) {
    const whole = await value.getData();
    const part = await value.getData(2, 3);
    return { whole: await text(whole), part: await text(part), length: value.length };
  }
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "object") return Object.entries(value).map(([key, part]) => `${key}=${part}`).join(" ");
  return String(value);
};

const told = (error) => ({ code: error.code, message: error.message.split("\n")[0] });

const column = (one) => ({
  name: one.name, type: one.dbTypeName, precision: one.precision, scale: one.scale, bytes: one.byteSize,
  nullable: one.nullable,
});

const run = async (connection, { sql, binds = [], rows: size = 100 }) => {
  const said = { columns: [], rows: [], error: null };
  try {
    const options = { resultSet: true, prefetchRows: size, fetchArraySize: size };
    const { metaData, resultSet } = await connection.execute(sql, binds, options);
    said.columns = metaData.map(column);
    for (let row; (row = await resultSet.getRow());) said.rows.push(await Promise.all(row.map(text)));
    await resultSet.close();
  } catch (error) {
    said.error = told(error);
  }
  return said;
};

(async () => {
  const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
  const said = { version: oracledb.versionString, thin: oracledb.thin, error: null, statements: [] };
  try {
    const connection = await oracledb.getConnection(asked.connect);
    said.server = connection.oracleServerVersionString;
    for (const statement of asked.statements) said.statements.push(await run(connection, statement));
    await connection.close();
  } catch (error) {
    said.error = told(error);
  }
  process.stdout.write(JSON.stringify(said));
})();
