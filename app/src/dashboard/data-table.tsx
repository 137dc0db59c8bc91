import { For, type JSX, Show } from "solid-js";

export interface Column<T> {
  title: string;
  cell: (row: T) => JSX.Element;
  isNumber?: boolean;
}

interface DataTableProps<T> {
  caption: string;
  columns: Column<T>[];
  rows: readonly T[];
  /** Sums or the like, one for each column. */
  footer?: JSX.Element[];
}

export function DataTable<T>(props: DataTableProps<T>) {
  return (
    <div class="table-frame" tabindex="0">
      <table>
        <caption class="sr-only">{props.caption}</caption>
        <thead>
          <tr>
            <For each={props.columns}>
              {column => (
                <th scope="col" classList={{ number: column.isNumber ?? false }}>
                  {column.title}
                </th>
              )}
            </For>
          </tr>
        </thead>
        <tbody>
          <For each={props.rows}>
            {row => (
              <tr>
                <For each={props.columns}>
                  {column => <td classList={{ number: column.isNumber ?? false }}>{column.cell(row)}</td>}
                </For>
              </tr>
            )}
          </For>
        </tbody>
        <Show when={props.footer}>
          {footer => (
            <tfoot>
              <tr>
                <For each={footer()}>
                  {(cell, index) => (
                    <td classList={{ number: props.columns[index()]?.isNumber ?? false }}>{cell}</td>
                  )}
                </For>
              </tr>
            </tfoot>
          )}
        </Show>
      </table>
    </div>
  );
}
