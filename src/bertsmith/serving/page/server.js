// What is asked of the server, and its refusals.

const KEY = "bertsmith-api-key";

/** Why there is no answer, in one sentence; `status` is 0 where nothing was heard at all. */
class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Use a key from now on, in this tab alone. */
function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Whether a key has been given; where the server still refuses, it is a wrong one. */
function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

/**
 * The server's answer; addresses are relative, so that the page works below a proxy's path. An
 * aborted `signal` closes the connection, at which the server lets go of the work, and its reason
 * is thrown.
 */
async function request(address, body = null, signal = null) {
  const headers = {};
  if (hasKey()) {
    headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  }
  const options = { headers, signal };
  if (body !== null) {
    headers["Content-Type"] = "application/json";
    options.method = "POST";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    signal?.throwIfAborted();
    throw new Refusal("The server does not answer; see whether it is running.", 0);
  }
  const said = await answer.json().catch(() => null);
  signal?.throwIfAborted();
  if (answer.ok && said !== null) {
    return said;
  }
  const reason = said?.error?.message ?? `the server answered with status ${answer.status}`;
  throw new Refusal(sentence(reason), answer.status);
}

/** The server's errors begin in lower case and have no full stop, as those of a command line. */
function sentence(message) {
  // Names of fields are kept as they are written.
  const begin = /^[a-z]+ /.test(message) ? message[0].toUpperCase() + message.slice(1) : message;
  return /[.!?]$/.test(begin) ? begin : `${begin}.`;
}
