// The connection of the page, and a live collection of the cards, which stays equal
// to the cards of the server.
import Rohrpost from "/rohrpost/rohrpost.js";

export const hub = new Rohrpost("/ws/rohrpost/");
export const watch = hub.watch("board", { key: "id" });
