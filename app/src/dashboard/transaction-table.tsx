import { createMemo, Show } from "solid-js";
import type { Transaction } from "../api/dashboard-types";
import { useFormats } from "../features/app-context";
import { useDashboardTexts, useOperatorLink, useSaid } from "./context";
import { type Column, DataTable } from "./data-table";

interface TransactionTableProps {
  rows: readonly Transaction[];
  zone: string;
  withUser?: boolean;
}

export function TransactionTable(props: TransactionTableProps) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const linkTo = useOperatorLink();
  const said = useSaid();
  const whose = (): Column<Transaction>[] => [
    {
      title: texts().user,
      cell: row => (
        <a class="link" href={linkTo("users", row.user_id)}>
          {row.user_name ?? row.user_id}
        </a>
      ),
    },
    { title: texts().company, cell: row => row.company?.name ?? texts().none },
  ];
  const columns = createMemo((): Column<Transaction>[] => [
    {
      title: texts().time,
      cell: row => <time dateTime={row.at}>{formats().stamp(new Date(row.at), props.zone)}</time>,
    },
    ...(props.withUser ? whose() : []),
    { title: texts().kind, cell: row => <span class={`kind ${row.kind}`}>{texts().kinds[row.kind]}</span> },
    {
      title: texts().tokens,
      isNumber: true,
      cell: row => <span classList={{ gain: row.tokens > 0 }}>{formats().change(row.tokens)}</span>,
    },
    { title: texts().balanceAfter, isNumber: true, cell: row => formats().number(row.balance_after) },
    { title: texts().actor, cell: row => row.actor },
    {
      title: texts().reason,
      cell: row => (
        <>
          {row.model ?? said(row.reason)}
          <Show when={row.estimated}> ({texts().estimated})</Show>
        </>
      ),
    },
  ]);
  return <DataTable caption={texts().views.transactions} columns={columns()} rows={props.rows} />;
}
