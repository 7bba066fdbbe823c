// A strip of colours for activations.

/** A canvas with a small field of colour for each value: cold below zero, warm above, and clear at zero. */
export function strip(values, span, most) {
  const height = Math.max(1, Math.round(Math.sqrt(values.length / (2 * span))));
  const width = Math.ceil(values.length / height);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.style.height = `${6 * height}px`;
  const style = getComputedStyle(document.documentElement);
  const [cold, warm] = ["--cold", "--warm"].map((name) => style.getPropertyValue(name).trim().split(" ").map(Number));
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  values.forEach((value, i) => {
    image.data.set(value < 0 ? cold : warm, 4 * i);
    image.data[4 * i + 3] = most ? 255 * Math.sqrt(Math.abs(value) / most) : 0;
  });
  context.putImageData(image, 0, 0);
  return canvas;
}
