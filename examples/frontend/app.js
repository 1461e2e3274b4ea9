// @ts-check
// A cinema's frontend on an origin of its own. `?api=` names the gateway; its answers are typed by docs/openapi.json (README.md).

/** @typedef {import("./api.js").components["schemas"]} Schemas */

const api = new URLSearchParams(location.search).get("api") ?? "http://127.0.0.1:8100";

/** A refusal, with the code to branch on. */
class Refused extends Error {
    /** @param {Schemas["Problem"]} problem */
    constructor(problem) {
        super(problem.detail);
        this.problem = problem;
    }
}

/**
 * One call. A call with a key may be repeated: it has one effect.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: object, key?: string }} [more]
 * @returns {Promise<any>}
 */
async function call(method, path, { body, key } = {}) {
    const token = sessionStorage.getItem("token");
    const reply = await fetch(api + path, {
        method,
        headers: {
            ...(token && { Authorization: `Bearer ${token}` }),
            ...(body && { "Content-Type": "application/json" }),
            ...(key && { "Idempotency-Key": `"${key}"` }),
        },
        ...(body && { body: JSON.stringify(body) }),
    });
    if (!reply.ok) throw new Refused(await reply.json());
    return reply.status === 204 ? undefined : reply.json();
}

/** The price that the page showed is named, never an amount. @param {Schemas["PriceView"]} price */
async function buy(price) {
    // The key outlives a reload: if the answer was lost, the next click gets the same order.
    const place = `key of ${price.id}`;
    const key = sessionStorage.getItem(place) ?? crypto.randomUUID();
    sessionStorage.setItem(place, key);
    /** @type {Schemas["CreateOrder"]} */
    const body = { price_id: price.id, return_url: location.href };
    try {
        await follow(await call("POST", "/v1/orders", { body, key }));
    } catch (error) {
        if (error instanceof Refused) sessionStorage.removeItem(place);
        throw error;
    }
    sessionStorage.removeItem(place);
}

/** To the provider's page, or to what was bought. @param {Schemas["OrderView"]} order */
async function follow(order) {
    sessionStorage.setItem("order", order.id);
    if (order.status === "pending" && order.checkout_url) location.assign(order.checkout_url);
    else await comeBack();
}

/** After the provider's page: the address proves nothing, so the order is asked for until it is decided. */
async function comeBack() {
    const id = sessionStorage.getItem("order");
    if (!id) return;
    show("progress", "Waiting for your payment ...");
    for (let tries = 0; tries < 4; tries++) {
        /** @type {Schemas["OrderView"]} */
        const order = await call("GET", `/v1/orders/${id}?wait=25`);
        if (order.status === "pending") continue;
        sessionStorage.removeItem("order");
        show("progress", order.status === "paid" ? `Enjoy ${order.product.title}.` : "The order was not paid.");
        return watchable();
    }
    show("progress", "The payment is not confirmed yet. We write to you when it is.");
}

async function watchable() {
    /** @type {[Schemas["Entitlements"], Schemas["Catalog"]]} */
    const [found, catalog] = await Promise.all([call("GET", "/v1/entitlements"), call("GET", "/v1/catalog")]);
    const titles = new Map(catalog.items.map(({ product }) => [product.id, product.title]));
    element("watch").hidden = false;
    element("watchable").replaceChildren(
        ...found.items.map((one) => row(titles.get(one.product_id) ?? one.product_id, until(one.ends_at))),
    );
}

async function catalog() {
    /** @type {Schemas["Catalog"]} */
    const { items } = await call("GET", "/v1/catalog");
    element("catalog").replaceChildren(
        ...items.map((price) => {
            const button = document.createElement("button");
            const each = price.interval ? ` each ${price.interval.replace(/^1 /, "")}` : "";
            button.textContent = `${words[price.kind]} for ${shown(price.amount)}${each}`;
            button.onclick = () => attempt(() => buy(price));
            return row(price.product.title, button);
        }),
    );
}

/** @type {Record<Schemas["PriceKind"], string>} */
const words = { purchase: "Buy", rental: "Rent", subscription: "Subscribe" };

/** Minor units have as many digits as the currency says. @param {Schemas["MoneyView"]} money */
function shown({ minor, currency }) {
    const format = new Intl.NumberFormat("en", { style: "currency", currency });
    return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** @param {string | null} end */
const until = (end) => (end ? `until ${new Date(end).toLocaleString("en")}` : "as often as you like");

/** @param {string} id */
function element(id) {
    const found = document.getElementById(id);
    if (!found) throw new Error(`the page has no #${id}`);
    return found;
}

/** @param {string} id @param {string} text */
const show = (id, text) => (element(id).textContent = text);

/** @param {string} title @param {Node | string} rest */
function row(title, rest) {
    const [item, name, end] = ["li", "span", "span"].map((tag) => document.createElement(tag));
    name.append(title);
    end.append(rest);
    item.append(name, " ", end);
    return item;
}

/** Run it, and say what went wrong. @param {() => Promise<void>} what */
async function attempt(what) {
    show("trouble", "");
    try {
        await what();
    } catch (error) {
        if (!(error instanceof Refused)) show("trouble", `${api} cannot be reached from ${location.origin}.`);
        else if (error.problem.code === "order_open" && error.problem.order_id) await resume(error.problem.order_id);
        else show("trouble", error.message);
    }
}

/** Another order for the title waits for its payment: go on with that one. @param {string} id */
const resume = (id) => attempt(async () => follow(await call("GET", `/v1/orders/${id}`)));

element("sign-in").onsubmit = (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (element("token"));
    sessionStorage.setItem("token", input.value.trim());
    input.value = "";
    attempt(watchable);
};

await attempt(catalog);
if (sessionStorage.getItem("token")) await attempt(sessionStorage.getItem("order") ? comeBack : watchable);
