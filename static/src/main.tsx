/** Starts the client: one root, two pages behind the question of who you are. */
import "./assetpath";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/notices.css";
import "./styles/welcome.css";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { IdentityContext } from "./app/context";
import { registerWorker } from "./app/worker";
import { Identity } from "./identity/session";
import { Toasts } from "./ui/toasts";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

// No StrictMode: Excalidraw's constructor hands out its API, and a second, thrown-away instance would bind to the room.
const identity = new Identity();
void identity.land().then(() =>
  createRoot(root).render(
    <IdentityContext value={identity}>
      <Toasts>
        <App />
      </Toasts>
    </IdentityContext>,
  ),
);

registerWorker();
