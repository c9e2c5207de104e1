// A power that can be cut at any call of any port.

export class PowerCut extends Error {}

/**
 * The same port, whose power fails at call number `at` of all ports sharing `calls`: `before` the call is
 * carried out, or after, with its answer lost.
 */
export function cutAt<Port extends object>(
  port: Port,
  calls: { count: number },
  at: number,
  when: "before" | "after",
): Port {
  return new Proxy(port, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        const isCut = calls.count++ === at;
        const isOff = calls.count > at + 1;
        if (isOff || (isCut && when === "before")) throw new PowerCut();
        const answer = member.apply(target, args) as unknown;
        if (!isCut) return answer;
        if (answer instanceof Promise) return answer.then(() => Promise.reject(new PowerCut()));
        throw new PowerCut();
      };
    },
  });
}
