/** Line icons on a grid of 20, drawn for this app: each is one path. */

const PATHS = {
  plus: "M10 4v12M4 10h12",
  search: "M9 3.5a5.5 5.5 0 1 1 0 11 5.5 5.5 0 0 1 0-11zM13 13l3.5 3.5",
  more: "M4.5 9.6a.4.4 0 1 0 .01 0zM10 9.6a.4.4 0 1 0 .01 0zM15.5 9.6a.4.4 0 1 0 .01 0z",
  send: "M10 16V4.5M4.8 9.5 10 4.3l5.2 5.2",
  stop: "M6 6h8v8H6z",
  copy: "M7.5 7.5h8v8h-8zM12.5 7.5v-3h-8v8h3",
  check: "M4.5 10.5 8.3 14.2 15.5 6",
  flag: "M5 17V3.5M5 4h9.5l-2 3.5 2 3.5H5",
  retry: "M15.8 8.2A6 6 0 1 0 16 11M16 4.5v4h-4",
  pencil: "M4 16l.7-3.2L13 4.5l2.5 2.5-8.3 8.3L4 16zM11.5 6 14 8.5",
  trash: "M4 5.5h12M8 5.5V4h4v1.5M5.5 5.5 6.2 16h7.6l.7-10.5M8.5 8.5v5M11.5 8.5v5",
  file: "M5.5 3h6l3 3v11h-9zM11.5 3v3h3M10 9v5M7.8 12 10 14.2 12.2 12",
  down: "M10 4v11.5M4.8 10.5 10 15.7l5.2-5.2",
  sidebar: "M3.5 4.5h13v11h-13zM8 4.5v11",
  close: "M5 5l10 10M15 5 5 15",
  chart: "M4 16V9M8 16V5M12 16v-5M16 16V7",
  list: "M4 5.5h12M4 10h12M4 14.5h8",
  people:
    "M7.5 9a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM2.5 16c.3-3 2.2-4.5 5-4.5s4.7 1.5 5 4.5M13 9.2a2.3 2.3 0 1 0-1-4.4M14.5 11.8c1.8.500 2.8 1.9 3 4.2",
  pulse: "M2.5 10.5h3.5l2-6 3.5 11 2-5h4",
  sun: "M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M15.7 4.3l-1.1 1.1M5.4 14.6l-1.1 1.1",
  chevron: "M6 8l4 4 4-4",
  warning: "M10 3.5 17.5 16.5h-15zM10 8.5v4M10 14.5h.01",
  chat: "M3.5 4.5h13v9h-7l-3.5 3v-3h-2.5z",
  spark: "M10 3l1.6 5.4L17 10l-5.4 1.6L10 17l-1.6-5.4L3 10l5.4-1.6z",
  out: "M8 4.5H4.5v11H8M8.5 10h8M13.5 7l3 3-3 3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon(props: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[props.name]} />
    </svg>
  );
}
