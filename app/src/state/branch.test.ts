import { expect, test } from "vitest";
import { branchOf, type ChosenVersions } from "./branch";
import { type Exchange, newExchange } from "./conversation";

/** Exchanges by `name<what it follows`, in the order in which they were asked. */
function thread(...names: string[]): Exchange[] {
  return names.map(each => {
    const [name = "", follows] = each.split("<");
    const exchange = newExchange(`key ${name}`, name, "", follows);
    return { ...exchange, question: { ...exchange.question, id: name } };
  });
}

const shown = (exchanges: Exchange[], chosen: ChosenVersions = {}) =>
  branchOf(exchanges, chosen).map(({ exchange, versions }) => {
    const number = versions.indexOf(exchange) + 1;
    return versions.length > 1 ? `${exchange.question.text} ${number}/${versions.length}` : exchange.question.text;
  });

test("without versions a thread is a line", () => {
  expect(shown(thread("a", "b<a", "c<b"))).toEqual(["a", "b", "c"]);
  expect(shown([])).toEqual([]);
});

test("the newest version is shown, and what came after the older one is not", () => {
  expect(shown(thread("a", "b<a", "c<b", "B<a"))).toEqual(["a", "B 2/2"]);
  expect(shown(thread("a", "b<a", "c<b", "B<a", "d<B"))).toEqual(["a", "B 2/2", "d"]);
});

test("an older version comes with what came after it", () => {
  const exchanges = thread("a", "b<a", "c<b", "B<a", "d<B");
  expect(shown(exchanges, { a: "key b" })).toEqual(["a", "b 1/2", "c"]);
  expect(shown(exchanges, { a: "key gone" })).toEqual(["a", "B 2/2", "d"]);
});

test("the first question has versions, too", () => {
  const exchanges = thread("a", "b<a", "A", "c<A", "AA");
  expect(shown(exchanges)).toEqual(["AA 3/3"]);
  expect(shown(exchanges, { "": "key A" })).toEqual(["A 2/3", "c"]);
});

test("going on with an older version makes it the one that is shown", () => {
  expect(shown(thread("a", "b<a", "B<a", "c<b"))).toEqual(["a", "b 1/2", "c"]);
});

test("a page that begins in the middle of a thread is shown from there on", () => {
  expect(shown(thread("c<b", "d<c", "D<c"))).toEqual(["c", "D 2/2"]);
});

test("a question that has not arrived yet is at its place", () => {
  const waiting = newExchange("key new", "new", "", "a");
  expect(shown([...thread("a", "b<a"), waiting])).toEqual(["a", "new 2/2"]);
});
