// From a value to a colour, and to an ink that can be read upon it.

function position(value, scale) {
  const at = scale.log ? Math.log10(value) : value; // of 0 it is -∞: the lowest colour
  return Math.min(Math.max((at - scale.low) / (scale.high - scale.low), 0), 1);
}

function mixed(stops, at) {
  const place = at * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [channels(stops[i]), channels(stops[i + 1])];
  return from.map((channel, k) => Math.round(channel + (to[k] - channel) * (place - i)));
}

function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// Relative luminance as the Web Content Accessibility Guidelines define it.
function luminance(colour) {
  const [red, green, blue] = colour.map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Black and white have the same contrast to a luminance of 0.179: it is at least 4.5 for the better of the two.
function inkOn(colour) {
  return luminance(colour) > 0.179 ? "#000000" : "#ffffff";
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}
