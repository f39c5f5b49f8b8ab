// The landing page of agent mode, which has no store: it shows what the agent does have.

import { fill, h } from "../dom.js";

/** @param {import("../app.js").Context} context */
export default function agent({ root }) {
  fill(root, h("div", { class: "page-head" }, h("h1", null, "Agent")),
    h("p", null, "This server runs in agent mode: it scrapes targets and sends their samples on by remote write. It keeps no history, evaluates no rules and answers no queries."),
    h("p", { class: "row" }, h("a", { class: "button", href: "targets" }, "Targets"), h("a", { class: "button", href: "service-discovery" }, "Service discovery"), h("a", { class: "button", href: "status" }, "Status"), h("a", { class: "button", href: "metrics", data: { outside: "" } }, "Own metrics")));
}
