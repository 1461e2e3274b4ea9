// A customer's visit, with types that openapi-typescript made of docs/openapi.json: order, pay, watch, refund.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type CreateOrder = components["schemas"]["CreateOrder"];

const { BOXOFFICE_URL: url = "", BOXOFFICE_TOKEN: token = "", RETURN_URL: back = "" } = process.env;
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const key = () => ({ "Idempotency-Key": `"${crypto.randomUUID()}"` });

/** The answer, or an error that shows the problem. */
function got<Data>(reply: { data?: Data; error?: components["schemas"]["Problem"]; response: Response }): Data {
    if (reply.data === undefined) throw new Error(`${reply.response.status} ${reply.error?.code}: ${reply.error?.detail}`);
    return reply.data;
}

const catalog = got(await client.GET("/v1/catalog"));
const price = catalog.items.find((one) => one.kind === "purchase");
if (!price) throw new Error("nothing is on sale");

const minimal: CreateOrder = { price_id: price.id, return_url: back };
let order = got(await client.POST("/v1/orders", { body: minimal, params: { header: key() } }));

const refused = await client.POST("/v1/orders", { body: { ...minimal, price_id: "prc_none" }, params: { header: key() } });
const code: components["schemas"]["Problem"]["code"] | undefined = refused.error?.code;
if (code !== "price_unknown") throw new Error(`not refused: ${code}`);

if (!order.checkout_url) throw new Error("no page to pay at");
const card = new URLSearchParams({ number: "4242424242424242", expires: "12 / 34", cvc: "123" });
await fetch(order.checkout_url, { method: "POST", body: card, redirect: "manual" });

for (let tries = 0; order.status === "pending" && tries < 20; tries++) {
    const params = { path: { order_id: order.id }, query: { wait: 5 } };
    order = got(await client.GET("/v1/orders/{order_id}", { params }));
}

async function watchable(): Promise<string[]> {
    return got(await client.GET("/v1/entitlements")).items.map((one) => one.product_id);
}
const watched = await watchable();
const refund = got(
    await client.POST("/v1/refunds", { body: { order_id: order.id, reason: "wrong film" }, params: { header: key() } }),
);
const left = await watchable();
console.log(JSON.stringify({ order: order.id, status: order.status, watched, refund: refund.status, left }));
