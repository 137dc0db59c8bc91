// Pipedrive's own client as a consumer of the simulator: node official_client.mjs V1_URL V2_URL TOKEN HOOK_URL
import { Configuration as ConfigurationV1, UsersApi, WebhooksApi } from "pipedrive/v1";
import { Configuration as ConfigurationV2, PersonFieldsApi, PersonsApi } from "pipedrive/v2";

const [v1, v2, apiKey, hookUrl] = process.argv.slice(2);
const users = new UsersApi(new ConfigurationV1({ apiKey, basePath: v1 }));
const webhooks = new WebhooksApi(new ConfigurationV1({ apiKey, basePath: v1 }));
const persons = new PersonsApi(new ConfigurationV2({ apiKey, basePath: v2 }));
const fields = new PersonFieldsApi(new ConfigurationV2({ apiKey, basePath: v2 }));

const me = (await users.getCurrentUser()).data;
const field = (
  await fields.addPersonField({ AddPersonFieldRequest: { field_name: "Official quota", field_type: "double" } })
).data;
const key = field.field_code;
const made = (
  await persons.addPerson({
    AddPersonRequest: { name: "Ann Lee", emails: [{ value: "ann@example.com", primary: true, label: "work" }] },
  })
).data;
await persons.updatePerson({ id: made.id, UpdatePersonRequest: { custom_fields: { [key]: 50000 } } });
const set = (await persons.getPerson({ id: made.id, custom_fields: key })).data;
await persons.updatePerson({ id: made.id, UpdatePersonRequest: { custom_fields: { [key]: null } } });
const cleared = (await persons.getPerson({ id: made.id })).data;
for (let n = 0; n < 4; n += 1) await persons.addPerson({ AddPersonRequest: { name: `Page ${n}` } });

const listed = [];
let cursor;
do {
  const page = await persons.getPersons({ limit: 2, sort_by: "update_time", cursor });
  listed.push(...page.data.map((person) => person.id));
  cursor = page.additional_data.next_cursor ?? undefined;
} while (cursor);

const hook = (
  await webhooks.addWebhook({
    AddWebhookRequest: {
      subscription_url: hookUrl,
      event_action: "*",
      event_object: "person",
      name: "judge",
      version: "2.0",
    },
  })
).data;
const hooks = (await webhooks.getWebhooks()).data;
await webhooks.deleteWebhook({ id: hook.id });
const left = (await webhooks.getWebhooks()).data;
let missing;
try {
  await persons.getPerson({ id: 999999 });
} catch (error) {
  missing = error.errorCode ?? error.response?.status ?? JSON.stringify(error);
}

console.log(
  JSON.stringify({
    company: me.company_domain,
    key,
    made: made.id,
    set: set.custom_fields[key],
    cleared: cleared.custom_fields[key],
    listed,
    hook: { id: hook.id, object: hook.event_object, active: hook.is_active, version: hook.version },
    hooks: hooks.map((one) => one.id),
    left: left.map((one) => one.id),
    missing,
  }),
);
