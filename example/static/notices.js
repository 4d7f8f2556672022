// What the page tells its user besides the cards.
const banners = {
  stale: "You are offline. What you see may be old.",
  closed: "The server has ended the connection. Load the page again.",
};

export function showStatus(status) {
  const state = document.getElementById("state"), banner = document.getElementById("banner");
  state.dataset.state = state.textContent = status;
  if (status in banners) banner.textContent = banners[status];
  banner.hidden = status !== "catching up" && !(status in banners); // it is old until the page has caught up
}

export function tell(text, kind = "news") {
  const news = document.getElementById("news");
  news.textContent = text;
  news.dataset.kind = kind;
}
