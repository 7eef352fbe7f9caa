/** What to type where the page has nothing to show yet. */

/** @param {string} origin */
export function catalogCommand(origin) {
  return [
    `curl -X PUT ${origin}/v1/admin/catalog/gpt-oss-20b -H "Authorization: Bearer $ADMIN" \\`,
    `  -d '{"context_length":131072,"size_gb":12.1,"min_ram_gb":24}'`,
  ].join("\n");
}

/** @param {string} origin */
export function providerCommand(origin) {
  return [
    `curl -X POST ${origin}/v1/admin/provider-tokens -H "Authorization: Bearer $ADMIN" \\`,
    `  -d '{"owner":"acme","name":"office"}'`,
    "",
    `npx node provider/src/main.ts --coordinator ${origin} --token-file ~/.poolkeeper/token \\`,
    "  --model gpt-oss-20b=~/models/gpt-oss-20b-mxfp4.gguf",
  ].join("\n");
}
