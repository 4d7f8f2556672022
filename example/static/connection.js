// The one connection of the page, and the cards of the board as the server has
// them: the watch keeps them so, whatever happens to the connection.
import Rohrpost from "/rohrpost/rohrpost.js";

export const hub = new Rohrpost("/ws/rohrpost/");
export const watch = hub.watch("board", { key: "id" });
