package main

import (
	"fmt"
	"slices"
	"strings"
)

// Sizes in the chart, in pixels.
const (
	chartWidth = 760
	labelWidth = 150 // the names of the servers
	valueWidth = 90  // the values right of the bars
	barHeight  = 18
	rowHeight  = 24
	titleSpace = 44 // above the bars of a panel
)

// style supports light and dark pages.
const style = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .note { fill: #57606a }
  .other { fill: #8c959f } .hub { fill: #0969da } .floor { fill: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .note { fill: #9198a1 }
    .other { fill: #6e7681 } .hub { fill: #4493f8 } .floor { fill: #3d444d }
  }
`

// chartColumn returns the column that the chart shows for the scenario, and its
// caption. It returns false if the chart omits the scenario.
func (s scenario) chartColumn() (c column, caption string, ok bool) {
	switch {
	case s.kind == fanOut && s.groups < 2 && s.members == 1000 && s.inFlight > 1:
		return rate, "deliveries per second, higher is better", true
	case s.kind == fanOut && s.groups < 2 && s.members == 1000:
		return cpu, "server CPU µs per delivery, lower is better", true
	case s.kind == requests && s.inFlight > 1:
		return rate, "replies per second, higher is better", true
	case s.kind == fixedRate && s.sendBuffer == 0:
		return p99, "p99 latency in ms, lower is better", true
	case s.kind == idle:
		return memory, "KiB per connection, lower is better", true
	}
	return c, "", false
}

// draw returns an SVG with a bar chart for each scenario that has a chart column.
func draw(reports []report) string {
	var panels strings.Builder
	y := 0
	for _, r := range reports {
		if c, caption, ok := r.scenario.chartColumn(); ok {
			y = r.panel(&panels, y, c, caption)
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">
<title>rohrpost compared with other WebSocket servers</title>
<style>%s</style>
%s</svg>
`, chartWidth, y+10, chartWidth, y+10, style, panels.String())
}

// panel draws one scenario at y and returns the y of the next one.
func (r report) panel(b *strings.Builder, y int, c column, caption string) int {
	fmt.Fprintf(b, "<text class=\"title\" x=\"0\" y=\"%d\">%s</text>\n", y+20, r.scenario)
	fmt.Fprintf(b, "<text class=\"note\" x=\"0\" y=\"%d\">%s</text>\n", y+37, caption)
	y += titleSpace
	value := func(name string) float64 { return c.median(r.results[name]) }
	longest := value(slices.MaxFunc(r.names, func(a, b string) int { return int(value(a)*100) - int(value(b)*100) }))
	for _, name := range r.names {
		width := value(name) / max(longest, 1e-9) * (chartWidth - labelWidth - valueWidth)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", labelWidth-8, y+barHeight-4, name)
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>", barClass(name), labelWidth, y, max(width, 1), barHeight)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">"+c.format+"</text>\n", labelWidth+width+6, y+barHeight-4, value(name))
		y += rowHeight
	}
	return y + 8
}

func barClass(name string) string {
	switch name {
	case "hub", "floor":
		return name
	}
	return "other"
}
