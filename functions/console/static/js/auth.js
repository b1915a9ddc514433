/** Sign in with OpenID Connect: authorization code with PKCE. The access token stays in a closure of this module. */

const STORED = "service-keys-sign-in";
/** Claims with a readable name of the administrator, as in the API's default of NameClaims. */
const NAME_CLAIMS = ["email", "preferred_username", "username", "name", "sub"];

/** A failed sign-in. Its message says what is wrong and what to do. */
export class SignInError extends Error {}

/**
 * Create the sign-in of this page.
 * @param {{issuer: string|null, clientId: string|null, scopes: string, signIn: "oidc"|"token"}} config
 */
export function createAuth(config) {
  let token = null;
  let claims = {};
  let discovered = null;

  const keep = (accessToken, payload) => {
    token = accessToken;
    claims = payload;
  };

  const discover = async () => {
    discovered ??= await fetchJson(`${config.issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
    for (const name of ["authorization_endpoint", "token_endpoint"]) requireHttp(discovered[name], name);
    return discovered;
  };

  return {
    mode: config.signIn,
    /** @returns {boolean} */
    get signedIn() {
      return token !== null;
    },
    /** @returns {string} The value of the header `Authorization`. */
    get authorization() {
      return `Bearer ${token}`;
    },
    /** @returns {string} The readable name of the administrator. */
    get name() {
      const claim = NAME_CLAIMS.find((each) => typeof claims[each] === "string" && claims[each]);
      return claim ? claims[claim] : "This account";
    },
    /** @returns {string|undefined} The claim `sub`, as in the fields `…By` of the API. */
    get subject() {
      return claims.sub;
    },

    /**
     * Go to the sign-in page of the issuer.
     * @param {string} returnTo The fragment of the view to return to.
     * @param {object|null} draft What the user typed, without secret values.
     */
    async signIn(returnTo, draft = null) {
      if (!globalThis.crypto?.subtle) {
        throw new SignInError("Sign-in needs HTTPS, or http://127.0.0.1 or localhost. Open the console there.");
      }
      const { authorization_endpoint: endpoint } = await discover();
      const [state, nonce, verifier] = [random(), random(), random()];
      sessionStorage.setItem(STORED, JSON.stringify({ state, nonce, verifier, returnTo, draft }));
      const url = new URL(endpoint);
      const parameters = {
        response_type: "code",
        client_id: config.clientId,
        redirect_uri: redirectUri(),
        scope: config.scopes || "openid",
        state,
        nonce,
        code_challenge: await challenge(verifier),
        code_challenge_method: "S256",
      };
      Object.entries(parameters).forEach(([name, value]) => url.searchParams.set(name, value));
      location.assign(url);
    },

    /**
     * Complete a sign-in if the issuer has just redirected here. Removes its parameters from the address and its data
     * from the session storage first, so that neither survives a failure.
     * @returns {Promise<{draft: object|null}>}
     */
    async complete() {
      const answer = new URLSearchParams(location.search);
      const stored = takeStored();
      if (!answer.has("state") && !answer.has("code") && !answer.has("error")) return { draft: null };
      history.replaceState(null, "", redirectUri() + (stored?.returnTo ?? "#/"));
      if (!stored || answer.get("state") !== stored.state) {
        throw new SignInError("This sign-in was not started in this tab, or it was used already. Sign in again.");
      }
      if (answer.has("error")) throw new SignInError(refusal(answer));
      const { token_endpoint: endpoint } = await discover();
      const body = new URLSearchParams({
        grant_type: "authorization_code",
        code: answer.get("code") ?? "",
        redirect_uri: redirectUri(),
        client_id: config.clientId,
        code_verifier: stored.verifier,
      });
      const tokens = await fetchJson(endpoint, { method: "POST", body });
      const identity = payload(tokens.id_token);
      if (tokens.id_token && identity.nonce !== stored.nonce) {
        throw new SignInError("The issuer's answer belongs to another sign-in (nonce). Sign in again.");
      }
      if (!isHeaderValue(tokens.access_token)) {
        throw new SignInError("The issuer returned no access token. Check the client's settings at the issuer.");
      }
      keep(tokens.access_token, { ...payload(tokens.access_token), ...identity });
      return { draft: stored.draft };
    },

    /**
     * Use a pasted token.
     * @param {string} text
     */
    useToken(text) {
      const pasted = text.trim().replace(/^(authorization:\s*)?bearer\s+/i, "");
      if (!isHeaderValue(pasted)) {
        throw new SignInError("This is not a token: paste one line of letters, digits and punctuation.");
      }
      keep(pasted, payload(pasted));
    },

    /** Forget the token, and end the issuer's session if it has an endpoint for that. */
    async signOut() {
      keep(null, {});
      if (config.signIn === "oidc") {
        const end = await discover().then((found) => found.end_session_endpoint, () => null);
        if (end && /^https?:/.test(end)) {
          const url = new URL(end);
          url.searchParams.set("client_id", config.clientId);
          // Cognito has its own name for the address to return to.
          const cognito = /(^|\.)amazoncognito\.com$/.test(url.hostname) || url.pathname === "/logout";
          url.searchParams.set(cognito ? "logout_uri" : "post_logout_redirect_uri", redirectUri());
          location.assign(url);
          return;
        }
      }
      // Load the page anew: nothing that the administrator saw or typed stays in this document.
      history.replaceState(null, "", redirectUri());
      location.reload();
    },
  };
}

function redirectUri() {
  return new URL("index.html", location.href.replace(/[?#].*$/, "")).href;
}

function takeStored() {
  try {
    const text = sessionStorage.getItem(STORED);
    sessionStorage.removeItem(STORED);
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}

function refusal(answer) {
  if (answer.get("error") === "access_denied") return "The sign-in was refused or cancelled. Sign in again.";
  const reason = answer.get("error_description") ?? answer.get("error");
  return `The issuer refused the sign-in: ${reason}. Sign in again, or check the client's settings at the issuer.`;
}

async function fetchJson(url, options = {}) {
  const host = new URL(url, location.href).host;
  let response;
  try {
    response = await fetch(url, { ...options, credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(30000) });
  } catch {
    throw new SignInError(`The issuer at ${host} cannot be reached. Check your connection, then sign in again.`);
  }
  const json = await response.json().catch(() => null);
  if (!response.ok || typeof json !== "object" || json === null) {
    const reason = typeof json?.error === "string" ? `${json.error}, status ${response.status}` : `status ${response.status}`;
    throw new SignInError(`The issuer at ${host} did not complete the sign-in (${reason}). Sign in again.`);
  }
  return json;
}

function requireHttp(url, name) {
  if (typeof url !== "string" || !/^https?:\/\//.test(url)) {
    throw new SignInError(`The issuer's discovery document has no usable ${name}. Check the issuer's address.`);
  }
}

function isHeaderValue(text) {
  return typeof text === "string" && /^[!-~]+$/.test(text);
}

/** Return the payload of a JWT without verifying it: it is shown to its owner only; the API verifies the token. */
function payload(jwt) {
  try {
    const text = atob(jwt.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    const json = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    return typeof json === "object" && json !== null ? json : {};
  } catch {
    return {};
  }
}

function random() {
  return base64Url(crypto.getRandomValues(new Uint8Array(32)));
}

async function challenge(verifier) {
  return base64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64Url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
