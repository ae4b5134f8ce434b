/** Chat templates in the language of real ones, one for each way in which models call tools. */

const TOLD =
  "{%- if tools %}{{ '<|im_start|>system\\nTools:' }}{% for tool in tools %}{{ '\\n' + (tool | tojson) }}{% endfor %}" +
  "{{ '<|im_end|>\\n' }}{% endif %}";

/** @param call writes the call `function` @param around what stands before all calls of a message, and behind them */
function template(call: string, around: readonly [string, string] = ["", ""]): string {
  return (
    `${TOLD}{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}` +
    `{%- if m.tool_calls is defined %}{{ '${around[0]}' }}{%- for c in m.tool_calls %}{% set function = c.function %}${call}` +
    `{%- endfor %}{{ '${around[1]}' }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}` +
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
  );
}

const VALUE = "{{ v if v is string else v | tojson }}";

/** As Qwen 2.5 and Hermes call tools. */
export const TAGGED_JSON = template(
  `{{ '\\n<tool_call>\\n{"name": "' + function.name + '", "arguments": ' }}{{ function.arguments | tojson }}{{ '}\\n</tool_call>' }}`,
);

/** As Qwen3-Coder does. */
export const PARAMETER_TAGS = template(
  "{{ '\\n<tool_call>\\n<function=' + function.name + '>\\n' }}{% for k, v in function.arguments | items %}" +
    `{{ '<parameter=' + k + '>\\n' }}${VALUE}{{ '\\n</parameter>\\n' }}{% endfor %}{{ '</function>\\n</tool_call>' }}`,
);

/** As GLM 4 does. */
export const KEY_VALUE_TAGS = template(
  "{{ '\\n<tool_call>' + function.name }}{% for k, v in function.arguments.items() %}" +
    `{{ '\\n<arg_key>' + k + '</arg_key>\\n<arg_value>' }}${VALUE}{{ '</arg_value>' }}{% endfor %}{{ '\\n</tool_call>' }}`,
);

/** As Devstral does. */
export const NAMED_ARGUMENTS = template(
  "{{ '[TOOL_CALLS]' + function.name + '[ARGS]' }}{{ function.arguments | tojson }}",
);

/** As Mistral Nemo does: it refuses ids that have not exactly nine characters. */
export const CALL_LIST = template(
  "{% if c.id | length != 9 %}{{ raise_exception('Ids have nine characters.') }}{% endif %}" +
    `{{ (', ' if not loop.first else '') + '{"name": "' + function.name + '", "arguments": ' }}` +
    `{{ function.arguments | tojson }}{{ ', "id": "' + c.id + '"}' }}`,
  ["[TOOL_CALLS] [", "]"],
);

/** As Llama 3 does: it refuses several calls at once. */
export const BARE_OBJECT = template(
  "{% if m.tool_calls | length != 1 %}{{ raise_exception('One call at once.') }}{% endif %}" +
    `{{ '{"name": "' + function.name + '", "parameters": ' }}{{ function.arguments | tojson }}{{ '}' }}`,
);

/** All of them, by the names of their families. */
export const TOOL_TEMPLATES: Readonly<Record<string, string>> = {
  "<tool_call> with JSON": TAGGED_JSON,
  "<function=…>": PARAMETER_TAGS,
  "[TOOL_CALLS] with names": NAMED_ARGUMENTS,
  "[TOOL_CALLS] with a list": CALL_LIST,
  "<arg_key>": KEY_VALUE_TAGS,
  "a bare object": BARE_OBJECT,
};

/** Others, for which no reader is here. */
export const UNKNOWN_SYNTAX: readonly string[] = [
  // Told of tools, but not of calls.
  `${TOLD}{% for m in messages %}{{ m.role + m.content }}{% endfor %}`,
  // Not told of tools.
  TAGGED_JSON.slice(TOLD.length),
  template("{{ '<|tool_call>call:' + function.name + (function.arguments | tojson) }}"),
  template(`{{ '{"name": "' + function.name + '", "arguments": ' }}{{ function.arguments | tojson }}{{ '}' }}`),
  // An object, but not the whole text.
  template(
    `{{ '<TOOLCALL>{"name": "' + function.name + '", "parameters": ' }}{{ function.arguments | tojson }}{{ '}' }}`,
  ),
  // As Python writes them.
  template(
    `{{ '<tool_call>{"name": "' + function.name + '", "arguments": ' + (function.arguments | string) + '}</tool_call>' }}`,
  ),
];
