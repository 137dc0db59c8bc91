// Makes the replica set and the user of the services, or leaves them as they are. Safe to run at any time.
const HOST = "mongo:27017";
const TRIES_MAX = 60;
const PAUSE_MS = 1_000;
const NOT_YET_INITIALIZED = 94;
const USER_NOT_FOUND = 11;

function retrying(what, step) {
  for (let tries = 1; ; tries += 1) {
    try {
      const result = step();
      if (result) return result;
    } catch (error) {
      if (tries === TRIES_MAX) throw error;
    }
    if (tries === TRIES_MAX) throw new Error(`${what}: gave up after ${TRIES_MAX} tries`);
    sleep(PAUSE_MS);
  }
}

function ensureReplicaSet(admin) {
  try {
    admin.adminCommand({ replSetGetStatus: 1 });
  } catch (error) {
    if (error.code !== NOT_YET_INITIALIZED) throw error;
    admin.adminCommand({ replSetInitiate: { _id: "rs0", members: [{ _id: 0, host: HOST }] } });
    print("replica set made");
  }
}

// The password is set each time, so that a new one in the environment is the one that counts.
function ensureUser(database, password) {
  const roles = [{ role: "readWrite", db: "chat" }];
  try {
    database.updateUser("chat", { pwd: password, roles });
  } catch (error) {
    if (error.code !== USER_NOT_FOUND) throw error;
    database.createUser({ user: "chat", pwd: password, roles });
    print("user made");
  }
}

const root = encodeURIComponent(process.env.MONGO_ROOT_PASSWORD);
const uri = `mongodb://root:${root}@${HOST}/admin?directConnection=true`;
const admin = retrying("connect", () => connect(uri));
ensureReplicaSet(admin);
retrying("primary", () => admin.hello().isWritablePrimary);
ensureUser(admin.getSiblingDB("chat"), process.env.MONGO_PASSWORD);
print("ready");
