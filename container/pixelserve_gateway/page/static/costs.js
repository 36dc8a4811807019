// What a million calls cost: the row of the packaged table that comes nearest to a call.

const table = await (await fetch("page/costs.json")).json();

/** The table without its rows: calls, currency, region, book, instance. */
export const costsAbout = table;

/** The row nearest to a call: of its feature, and where these count of its format and the nearest factor. */
export function findCosts({ feature, megapixels, scale, format }) {
  const far = (row) => Math.abs(Math.log(row.megapixels / megapixels)) + Math.abs(Math.log((row.scale ?? 1) / scale));
  return table.rows
    .filter((row) => row.feature === feature && (row.format ?? format) === format)
    .reduce((best, row) => (far(row) < far(best) ? row : best));
}
