import { formRules } from "./form-grammar.ts";
import { numberRule } from "./number-grammar.ts";
import type { ArrayNode, JsonSchema, ObjectNode, SchemaNode } from "./schema-node.ts";
import type { TextForm } from "./text-form.ts";

/**
 * GBNF, the grammar language of llama.cpp, for texts that follow a JSON Schema. The library's own translation writes
 * every property, optional or not, knows no `anyOf` and ends each answer with four line breaks; this one leaves
 * optional properties to the model, which for the arguments of tools is the difference between "no limit" and an
 * invented one.
 *
 * Properties come in the order of the schema. There are blanks where JSON printers write them: a space after a colon,
 * and a space, or a line break with some indentation, after a comma and beside brackets. Nowhere else, so that a weak
 * model does not fill the tokens that it may write with blanks.
 */

const COMMON_RULES = String.raw`blank ::= " "?
ws ::= | " " | "\n" [ \t]{0,16}
char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})
string ::= "\"" char* "\""
number ::= "-"? natural fraction
natural ::= "0" | [1-9] [0-9]{0,14}
fraction ::= ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (string ":" blank value ("," ws string ":" blank value)*)? ws "}"
array ::= "[" ws (value ("," ws value)*)? ws "]"`;

/** A grammar whose texts are JSON values that follow the schema. */
export function schemaGrammar(schema: JsonSchema): string {
  const rules = new GrammarRules();
  const root = rules.schema(schema);
  return rules.text(root);
}

interface CallableTool {
  readonly name: string;
  readonly parameters: JsonSchema;
}

/**
 * A grammar for one call of one of these functions, written as a JSON object. What stands before the arguments is
 * `forcedCallPrefix(name)`, letter for letter, and after them comes one `}`: the stream is cut there.
 */
export function forcedCallGrammar(tools: readonly CallableTool[]): string {
  const rules = new GrammarRules();
  return rules.text(calls(rules, tools));
}

export function forcedCallPrefix(name: string): string {
  return `{"name": ${JSON.stringify(name)}, "arguments": `;
}

/** Before a call where the answer may be JSON instead. No JSON begins with it. */
export const CALL_MARK = "call ";

/** A grammar for either JSON that follows the schema, or such a call behind the mark. */
export function jsonOrCallGrammar(schema: JsonSchema, tools: readonly CallableTool[]): string {
  const rules = new GrammarRules();
  return rules.text(`${literal(CALL_MARK)} (${calls(rules, tools)}) | ${rules.schema(schema)}`);
}

function calls(rules: GrammarRules, tools: readonly CallableTool[]): string {
  return tools
    .map(({ name, parameters }) => `${literal(forcedCallPrefix(name))} ${rules.schema(parameters)} "}"`)
    .join(" | ");
}

class GrammarRules {
  readonly #rules: string[] = [];
  readonly #ruleOfForm = new Map<TextForm, string>();
  #names = 0;

  text(root: string): string {
    return [`root ::= ${root}`, ...this.#rules, COMMON_RULES].join("\n");
  }

  /** The name of a rule for the schema; its definitions become rules of their own, which may refer to themselves. */
  schema({ root, definitions }: JsonSchema): string {
    const ruleOfDefinition = new Map([...definitions.keys()].map((name) => [name, this.#newName()]));
    for (const [name, node] of definitions) {
      this.#rules.push(`${ruleOfDefinition.get(name) ?? "value"} ::= ${this.#node(node, ruleOfDefinition)}`);
    }
    return this.#rule(this.#node(root, ruleOfDefinition));
  }

  #node(node: SchemaNode, refs: ReadonlyMap<string, string>): string {
    switch (node.kind) {
      case "any":
        return "value";
      case "null":
        return '"null"';
      case "boolean":
        return '("true" | "false")';
      case "literals":
        return `(${node.values.map((value) => literal(JSON.stringify(value))).join(" | ")})`;
      case "union":
        return `(${node.options.map((option) => this.#node(option, refs)).join(" | ")})`;
      case "ref":
        return refs.get(node.name) ?? "value";
      case "number":
        return numberRule(node);
      case "string":
        if (node.form !== null) return this.#form(node.form);
        if (node.minLength === 0 && node.maxLength === null) return "string";
        return String.raw`"\"" char{${node.minLength},${node.maxLength ?? ""}} "\""`;
      case "object":
        return this.#object(node, refs);
      case "array":
        return this.#array(node, refs);
    }
  }

  /**
   * The commas are the difficulty: one stands before each property but the first that is written. So each property
   * has two rules, one for the rest of the object after something was written and one for before.
   */
  #object(node: ObjectNode, refs: ReadonlyMap<string, string>): string {
    const key = node.extraKeys === null ? "string" : this.#form(node.extraKeys);
    const extra = node.additional === null ? null : `${key} ":" blank ${this.#node(node.additional, refs)}`;
    let afterFirst = extra === null ? '""' : this.#rule(`("," ws ${extra})*`);
    let beforeFirst = extra === null ? '""' : this.#rule(`(${extra} ${afterFirst})?`);
    for (const property of node.properties.toReversed()) {
      const value = this.#rule(this.#node(property.schema, refs));
      const pair = `${literal(JSON.stringify(property.name))} ":" blank ${value}`;
      beforeFirst = this.#rule(`${pair} ${afterFirst}${property.required ? "" : ` | ${beforeFirst}`}`);
      afterFirst = this.#rule(`("," ws ${pair})${property.required ? "" : "?"} ${afterFirst}`);
    }
    return `"{" ws ${beforeFirst} ws "}"`;
  }

  #array(node: ArrayNode, refs: ReadonlyMap<string, string>): string {
    const prefix = node.prefix.map((item) => this.#rule(this.#node(item, refs)));
    const more = node.items === null ? null : this.#rule(this.#node(node.items, refs));
    const least = Math.max(0, node.minItems - prefix.length);
    const most = node.maxItems === null ? null : Math.max(0, node.maxItems - prefix.length);
    const items = [...prefix];
    if (more !== null && prefix.length > 0) items.push(`("," ws ${more}){${least},${most ?? ""}}`);
    if (more !== null && prefix.length === 0 && most !== 0) {
      const list = `${more} ("," ws ${more}){${Math.max(0, least - 1)},${most === null ? "" : most - 1}}`;
      return `"[" ws ${least === 0 ? `(${list})?` : list} ws "]"`;
    }
    const [first = '""', ...rest] = items;
    const tail = rest.map((item) => (item.startsWith("(") ? item : `"," ws ${item}`));
    return `"[" ws ${[first, ...tail].join(" ")} ws "]"`;
  }

  /** Strings of one form share their rules. */
  #form(form: TextForm): string {
    let name = this.#ruleOfForm.get(form);
    if (name === undefined) {
      name = this.#newName();
      this.#ruleOfForm.set(form, name);
      this.#rules.push(...formRules(form, name));
    }
    return String.raw`"\"" ${name}-0`;
  }

  #rule(body: string): string {
    const name = this.#newName();
    this.#rules.push(`${name} ::= ${body}`);
    return name;
  }

  #newName(): string {
    this.#names += 1;
    return `r${this.#names}`;
  }
}

/** GBNF quotes as C does; other characters stand for themselves. */
function literal(text: string): string {
  const escaped = text
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n")
    .replaceAll("\r", "\\r")
    .replaceAll("\t", "\\t");
  return `"${escaped}"`;
}
