/** Sign-in to the dashboard at an issuer of another site, in a real browser. */
import assert from "node:assert/strict";
import test from "node:test";
import { NO_BROWSER, openBrowser, openDashboard } from "../helpers/browser.ts";
import { type StandInIssuer, startIssuer } from "../helpers/issuer.ts";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";

const options = { skip: NO_BROWSER ?? false };
const browser = NO_BROWSER === null ? await openBrowser(test) : null!;

async function startBoth(
  t: test.TestContext,
): Promise<{ readonly issuer: StandInIssuer; readonly server: LocalServer }> {
  const issuer = await startIssuer(t);
  // To a browser another site than 127.0.0.1, so that its cookies are held to what they say.
  issuer.url = issuer.url.replace("127.0.0.1", "localhost");
  const { id, secret } = issuer.client;
  const oidc = `{ issuer: "${issuer.url}", client_id: ${id}, client_secret: "${secret}", name: Example, default_role: admin }`;
  const config = `auth: { oidc: ${oidc} }\nserver: { base_path: /gpu }`;
  return { issuer, server: await startLocalServer(t, { config, devices: "simulated:2" }) };
}

test("people sign in with the issuer, stay in after a reload and in another tab, and sign out", options, async (t) => {
  const { issuer, server } = await startBoth(t);
  const { url } = server;
  const page = await openDashboard(browser, server, { place: "gpus" });
  page.expect(new RegExp(`another origin: ${issuer.url}/authorize`));
  const button = page.page.getByRole("button", { name: "Sign in with Example" });
  await button.waitFor();
  await page.isSound("the sign-in");
  await button.click();
  await page.locator("header.top").waitFor();
  // Where they were.
  await page.locator("main[data-page=gpus] tbody tr").nth(1).waitFor();
  await page.shows("alice");
  // Events come, too.
  await page.go("now");
  await page.locator(".lane").first().waitFor();
  await server.run({ text: "hello", max_length: 2 });
  await page.isSound("signed in");
  await page.page.reload();
  await page.locator("header.top").waitFor();
  const other = await page.page.context().newPage();
  await other.goto(`${url}/`);
  await other.locator("header.top").waitFor();
  assert.equal(await page.page.evaluate("document.cookie + sessionStorage.length"), "0");
  await page.page.getByText("Sign out").click();
  await button.waitFor();
  await page.isSound("signed out");
  await page.page.reload();
  await button.waitFor();
  page.expect(/401|ERR_INCOMPLETE_CHUNKED_ENCODING/);
  assert.deepEqual(
    (await page.page.context().cookies()).map(({ name }) => name),
    [],
  );
  // A key goes on beside it.
  await page.signIn(server.key);
});

test(
  "a restart of the server ends sign-ins, and leads back to the sign-in without a password window",
  options,
  async (t) => {
    const { server } = await startBoth(t);
    const page = await openDashboard(browser, server);
    page.expect(/another origin|401|ERR_/);
    const button = page.page.getByRole("button", { name: "Sign in with Example" });
    await button.click();
    await page.locator("header.top").waitFor();
    // As after a restart, the server knows nothing of this cookie.
    const context = page.page.context();
    const cookies = await context.cookies();
    await context.addCookies(cookies.map((cookie) => ({ ...cookie, value: "x".repeat(43) })));
    await page.page.evaluate('location.hash = "#/usage"');
    await button.waitFor();
    await page.shows("The sign-in of this browser has ended. Sign in again.");
  },
);
