// The status, the banner and the notices for the user.
const banners = {
  stale: "You are offline. The page may show old data.",
  closed: "The server has closed the connection. Reload the page.",
};

export function showStatus(status) {
  const label = document.getElementById("status"), banner = document.getElementById("banner");
  label.dataset.status = label.textContent = status;
  if (status in banners) banner.textContent = banners[status];
  banner.hidden = status !== "recovering" && !(status in banners); // the data is old until the page has recovered
}

export function showNotice(text, kind = "info") {
  const notice = document.getElementById("notice");
  notice.textContent = text;
  notice.dataset.kind = kind;
}
