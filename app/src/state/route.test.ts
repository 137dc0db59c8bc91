import { expect, test } from "vitest";
import { chatPath, operatorPath, parsePath } from "./route";

test.each([
  ["/", { page: "chat", threadId: undefined }],
  ["/c/t_1", { page: "chat", threadId: "t_1" }],
  ["/operator", { page: "operator", view: "usage", id: undefined }],
  ["/operator/users/a%2Fb", { page: "operator", view: "users", id: "a/b" }],
  ["/operator/nowhere", { page: "unknown" }],
  ["/c", { page: "unknown" }],
  ["/c/a/b", { page: "unknown" }],
  ["/c/%zz", { page: "chat", threadId: "%zz" }],
])("%s", (path, route) => {
  expect(parsePath(path)).toEqual(route);
});

test("every page that is linked is found again", () => {
  expect(parsePath(chatPath("t_1"))).toEqual({ page: "chat", threadId: "t_1" });
  expect(parsePath(operatorPath("users", "ä/ö"))).toEqual({ page: "operator", view: "users", id: "ä/ö" });
});
