// Finds the mutants of a TypeScript source, and writes a source that contains all of them: each
// mutated place asks at run time whether its mutant is the active one.
//
// A mutant is one small change that a test should detect: a condition that is always true or false,
// an operand left out, a comparison at its boundary, another literal, a field without a value, a
// statement left out.

import { parse } from '@babel/parser';

/**
 * @typedef {{ file: string, line: number, within: string, change: string, nth: number }} Mutant
 * `within`: the enclosing function. `nth`: counts equal changes in one function from 1, so that a
 * mutant keeps its name when lines move.
 */

/** Parts of a node that are no expressions and no statements. */
const skippedKeys = new Set([
  'typeAnnotation',
  'typeParameters',
  'typeArguments',
  'returnType',
  'superTypeParameters',
  'id',
  'label',
  'loc',
  'extra',
  'errors',
  'comments',
  'leadingComments',
  'trailingComments',
  'innerComments',
]);

/** Nodes that are not entered: types, and what is not code. */
const isSkipped = ({ type }) =>
  type.startsWith('Import') ||
  type === 'ExportAllDeclaration' ||
  type === 'TemplateElement' ||
  (type.startsWith('TS') &&
    !['TSAsExpression', 'TSSatisfiesExpression', 'TSNonNullExpression'].includes(type));

const childrenOf = (node) =>
  Object.entries(node)
    .filter(([key]) => !skippedKeys.has(key))
    .flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value])
        .filter((child) => typeof child?.type === 'string' && typeof child.start === 'number')
        .map((child) => ({ key, child })),
    )
    .sort((one, other) => one.child.start - other.child.start);

const boundaries = {
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '===': ['!=='],
  '!==': ['==='],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
};
/** `x === undefined ? {} : { x }`: a field without a value is no field in JSON. */
const isOptionalField = ({ type, consequent }) =>
  type === 'ConditionalExpression' &&
  consequent.type === 'ObjectExpression' &&
  consequent.properties.length === 0;

const methods = { some: 'every', every: 'some', min: 'max', max: 'min' };

/** The replacements of an expression. `source` gives the source of a node. */
function replacementsOf(node, key, source) {
  const text = (part) => (part.extra?.parenthesized ? `(${source(part)})` : source(part));
  switch (node.type) {
    case 'LogicalExpression': {
      const [left, right] = [text(node.left), text(node.right)];
      if (node.operator === '??') return [left, right];
      const neutral = node.operator === '&&' ? 'true' : 'false';
      return [`${neutral} ${node.operator} ${right}`, `${left} ${node.operator} ${neutral}`];
    }
    case 'BinaryExpression':
      // Of a condition, true and false say the same.
      if (key === 'test' && node.operator.endsWith('==')) return [];
      return (boundaries[node.operator] ?? []).map(
        (operator) => `${text(node.left)} ${operator} ${text(node.right)}`,
      );
    case 'ConditionalExpression':
      return isOptionalField(node)
        ? [text(node.consequent)]
        : [text(node.consequent), text(node.alternate)];
    case 'UnaryExpression':
      return node.operator === '!' || node.operator === '-' ? [text(node.argument)] : [];
    case 'BooleanLiteral':
      return [String(!node.value)];
    case 'NumericLiteral':
      return [String(node.value + 1)];
    case 'StringLiteral':
      // A text for people is no decision.
      return node.value === '' || /\s/.test(node.value) ? [] : ["''"];
    case 'ArrayExpression':
      return node.elements.length > 0 ? ['[]'] : [];
    case 'CallExpression': {
      const { callee } = node;
      const name = callee.type === 'MemberExpression' && callee.property.name;
      if (!Object.hasOwn(methods, name)) return [];
      const rest = text(node).slice(callee.end - node.start);
      return [`${text(callee.object)}.${methods[name]}${rest}`];
    }
    default:
      return [];
  }
}

const conditions = new Set(['IfStatement', 'WhileStatement', 'DoWhileStatement', 'ForStatement']);

/** Whether a replacement of this child would change what its parent is. */
const isFixed = (node, parent, key) =>
  (key === 'key' && !parent.computed) ||
  (key === 'property' && !parent.computed) ||
  key === 'directives' ||
  (key === 'callee' && parent.type !== 'NewExpression' && node.type.includes('Member')) ||
  // Inside a chain `a?.b.c` a condition would end the short circuit.
  ((key === 'object' || key === 'callee') && parent.type.startsWith('Optional')) ||
  (key === 'left' && /^(Assignment|For)/.test(parent.type)) ||
  (key === 'argument' && /^(Update|Rest)/.test(parent.type)) ||
  (key === 'argument' && parent.type === 'UnaryExpression' && parent.operator === 'delete');

/** The name of a function or of the constant that holds it. */
const nameOf = (node, parent) =>
  node.type === 'FunctionDeclaration' || node.type === 'ClassDeclaration'
    ? (node.id?.name ?? 'default')
    : /Function|ArrowFunction/.test(node.type) && parent?.type === 'VariableDeclarator'
      ? parent.id.name
      : node.type === 'ObjectMethod'
        ? node.key.name
        : null;

/**
 * @returns {{ mutants: (Mutant & { id: number })[], code: string }} `code` is TypeScript that calls
 * `__mutant(id)`.
 */
export function mutate(file, source, firstId) {
  const { program } = parse(source, { sourceType: 'module', plugins: ['typescript'] });
  const mutants = [];
  const counts = new Map();
  const text = (node) => source.slice(node.start, node.end);

  function add(node, within, change) {
    const name = `${within}: ${change}`;
    const nth = (counts.get(name) ?? 0) + 1;
    counts.set(name, nth);
    const id = firstId + mutants.length;
    mutants.push({ id, file, line: node.loc.start.line, within, change, nth });
    return id;
  }
  const short = (code) => code.replace(/\s+/g, ' ').trim();

  /** The code of a node, with the mutants of it and of everything in it. */
  function emit(node, parent, key, within) {
    if (isSkipped(node)) return text(node);
    const inside = nameOf(node, parent) ?? within;
    const ids = [];
    const note = (from, to, code = to) =>
      ids.push([add(node, inside, `${short(from)} → ${short(to)}`), code]);
    if (!isFixed(node, parent, key)) {
      if (key === 'test' && conditions.has(parent.type)) {
        const values = parent.type === 'IfStatement' ? ['true', 'false'] : ['false'];
        for (const value of values) if (text(node) !== value) note(`if (${text(node)})`, value);
      }
      for (const replacement of replacementsOf(node, key, text)) note(text(node), replacement);
    }
    const inner = emitInside(node, inside);
    if (node.type === 'ExpressionStatement') {
      const id = add(node, inside, `${short(text(node))} → left out`);
      // In braces, or an `else` after it would belong to it.
      return `{ if (!__mutant(${id})) { ${inner} } }`;
    }
    return ids.reduce((code, [id, other]) => `(__mutant(${id}) ? (${other}) : (${code}))`, inner);
  }

  function emitInside(node, within) {
    let [code, at] = ['', node.start];
    for (const { key, child } of childrenOf(node)) {
      if (child.start < at) continue;
      code += source.slice(at, child.start) + emitChild(node, key, child, within);
      at = child.end;
    }
    return code + source.slice(at, node.end);
  }

  /** A property of an object can also be without a value. */
  function emitChild(node, key, child, within) {
    if (node.type !== 'ObjectExpression' || child.type !== 'ObjectProperty' || child.computed)
      return emit(child, node, key, within);
    const { value } = child;
    const isText = /^(StringLiteral|TemplateLiteral)$/.test(value.type) && /\s/.test(text(value));
    const isNothing = value.type === 'NullLiteral' || text(value) === 'undefined';
    const inner = emit(value, child, 'value', within);
    if (isText || isNothing) return child.shorthand ? text(child) : `${text(child.key)}: ${inner}`;
    const id = add(child, within, `${short(text(child))} → no ${text(child.key)}`);
    return `${text(child.key)}: (__mutant(${id}) ? undefined as never : (${inner}))`;
  }

  return { code: emit(program, null, 'program', 'module'), mutants };
}
