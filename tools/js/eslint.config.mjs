// Undefined names are left to tsc, which knows all of Node.js and runs beside this.
import js from '@eslint/js'

export default [
  { ignores: ['**/_dashboard/vendor/**'] },
  js.configs.recommended,
  {
    rules: {
      'no-undef': 'off',
      'array-callback-return': 'error',
      'default-case-last': 'error',
      eqeqeq: 'error',
      'max-len': ['error', { code: 120, ignoreRegExpLiterals: true }],
      'no-constructor-return': 'error',
      'no-else-return': ['error', { allowElseIf: true }],
      'no-implicit-coercion': ['error', { allow: ['!!', '+'] }],
      'no-promise-executor-return': 'error',
      'no-self-compare': 'error',
      'no-shadow': 'error',
      'no-template-curly-in-string': 'error',
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
      semi: ['error', 'never'],
      quotes: ['error', 'single', { avoidEscape: true, allowTemplateLiterals: true }],
    },
  },
  {
    // Templates of a page are one line per element, and a template says more whole than in parts.
    files: ['**/_dashboard/js/*.js'],
    rules: { 'max-len': 'off' },
  },
]
