// A widget's model for a page with no kernel: the part of Backbone's that explorables use.
globalThis.StaticModel = class StaticModel {
  #state;
  #listeners = new Map();

  constructor(state) {
    this.#state = { ...state };
  }

  get(key) {
    return this.#state[key];
  }

  set(key, value) {
    if (Object.is(this.#state[key], value)) return;
    this.#state[key] = value;
    this.#emit(`change:${key}`, value);
    this.#emit("change", value);
  }

  save_changes() {} // there is nobody to tell

  on(events, listener) {
    for (const event of events.split(" ")) {
      if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
      this.#listeners.get(event).add(listener);
    }
  }

  off(events, listener) {
    for (const event of events.split(" ")) this.#listeners.get(event)?.delete(listener);
  }

  #emit(event, value) {
    for (const listener of this.#listeners.get(event) ?? []) listener({ name: event }, value);
  }
};
