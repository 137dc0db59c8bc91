/** A canvas in a test, as jsdom has none: it keeps what is drawn on it, to be read off as a reader does. */

import { vi } from "vitest";

interface Label {
  text: string;
  x: number;
  y: number;
}

interface Shape {
  color: string;
  path: FakePath;
}

/** Pixels from the top left. */
type Point = [x: number, y: number];

class FakePath {
  readonly corners: Point[];
  /** Where upright bars begin and end. */
  readonly bars: { left: number; right: number; top: number; bottom: number }[];

  constructor(from?: FakePath) {
    this.corners = [...(from?.corners ?? [])];
    this.bars = [...(from?.bars ?? [])];
  }

  moveTo(x: number, y: number): void {
    this.corners.push([x, y]);
  }

  lineTo(x: number, y: number): void {
    this.corners.push([x, y]);
  }

  rect(left: number, top: number, width: number, height: number): void {
    this.bars.push({ left, right: left + width, top, bottom: top + height });
  }
}

/** The last picture that was drawn. */
export class Drawing {
  /** What heights are rounded to: more tokens than a pixel is worth. */
  readonly grain: number;
  times = 0;
  labels: Label[] = [];
  filled: Shape[] = [];
  stroked: Shape[] = [];

  constructor(grain: number) {
    this.grain = grain;
  }

  begin(): void {
    this.times += 1;
    this.labels = [];
    this.filled = [];
    this.stroked = [];
  }

  /** What the axis at the left says of a height. */
  valueAt(y: number): number {
    const ticks = this.labels.map(label => ({ y: label.y, value: valueOf(label.text) }));
    const [low, high] = ticks.filter(({ value }) => !Number.isNaN(value)).slice(-2);
    if (!low || !high) throw new Error("no axis to read from");
    const value = low.value + ((y - low.y) / (high.y - low.y)) * (high.value - low.value);
    return Math.round(value / this.grain) * this.grain + 0;
  }

  /** From where to where the bars of a colour go, from left to right, as figures. */
  barsOf(color: string): [from: number, to: number][] {
    const bars = this.filled.filter(shape => shape.color === color).flatMap(shape => shape.path.bars);
    return bars.map(({ top, bottom }) => [this.valueAt(bottom), this.valueAt(top)]);
  }

  cornersOf(color: string): Point[] {
    const corners = this.stroked.filter(shape => shape.color === color).flatMap(shape => shape.path.corners);
    return corners.filter(([x, y], index) => x !== corners[index - 1]?.[0] || y !== corners[index - 1]?.[1]);
  }

  /** The heights that a line of a colour goes through, as figures. */
  stepsOf(color: string): number[] {
    const values = this.cornersOf(color).map(([, y]) => this.valueAt(y));
    return values.filter((value, index) => value !== values[index - 1]);
  }
}

export interface FakeCanvas {
  drawing: Drawing;
  resize(width: number): Promise<void>;
  /** The system turns from light to dark, or back. */
  changeScheme(): void;
  /** How many are still told of another size or scheme. */
  listeners(): number;
}

/** Has to be called before a chart is imported, which asks for the screen at once. */
export function fakeCanvas({ width = 600, grain = 10 } = {}): FakeCanvas {
  const drawing = new Drawing(grain);
  const observers = new Map<object, (width: number) => void>();
  const schemes = new Set<() => void>();
  vi.stubGlobal("Path2D", FakePath);
  vi.stubGlobal("matchMedia", (query: string) => ({
    matches: true,
    addEventListener: (_: string, listener: () => void) => query.includes("scheme") && schemes.add(listener),
    removeEventListener: (_: string, listener: () => void) => schemes.delete(listener),
  }));
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(tell: (entries: object[]) => void) {
        observers.set(this, width => tell([{ contentRect: { width } }]));
      }
      observe(): void {
        queueMicrotask(() => observers.get(this)?.(width));
      }
      disconnect(): void {
        observers.delete(this);
      }
    },
  );
  HTMLCanvasElement.prototype.getContext = (() => contextOf(drawing)) as never;
  return {
    drawing,
    async resize(to) {
      for (const tell of observers.values()) tell(to);
      await isDrawn();
    },
    changeScheme: () => schemes.forEach(changed => changed()),
    listeners: () => observers.size + schemes.size,
  };
}

/** A chart is drawn a moment after it knows its width. */
export function isDrawn(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve));
}

function contextOf(drawing: Drawing) {
  const nothing = () => undefined;
  const names = "save restore translate rotate clip beginPath moveTo lineTo rect setLineDash".split(" ");
  const context = {
    ...Object.fromEntries(names.map(name => [name, nothing])),
    fillStyle: "",
    strokeStyle: "",
    clearRect: () => drawing.begin(),
    fillText: (text: string, x: number, y: number) => drawing.labels.push({ text, x, y }),
    fill: (path: FakePath) => drawing.filled.push({ color: context.fillStyle, path }),
    stroke: (path?: FakePath) => path && drawing.stroked.push({ color: context.strokeStyle, path }),
  };
  return context;
}

/** NaN for what is no number, as the name of a day. */
function valueOf(text: string): number {
  const [, digits, power] = /^(-?[\d.]+)(k?)$/i.exec(text) ?? [];
  return Number(digits ?? Number.NaN) * (power ? 1_000 : 1);
}
