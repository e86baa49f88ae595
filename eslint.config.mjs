// Type-checked rules, and the import borders of the house: client, worker -> workflows, activities -> journal -> plan.
import tseslint from 'typescript-eslint';

const folders = [
  'plan',
  'journal',
  'workflows',
  'activities',
  'worker',
  'client',
  'local',
  'examples',
  'bench',
  'test',
];

/** Forbids a folder every other folder than those named. */
function border(folder, allowed, typesOnly = []) {
  const forbidden = folders.filter(
    (other) => other !== folder && !allowed.includes(other) && !typesOnly.includes(other),
  );
  const patterns = [
    {
      regex: `^(\\.\\./)+(${forbidden.join('|')})(/|$)`,
      message: `${folder}/ may import only ${allowed.join(', ') || 'itself'}.`,
    },
    ...(typesOnly.length > 0
      ? [
          {
            regex: `^(\\.\\./)+(${typesOnly.join('|')})(/|$)`,
            allowTypeImports: true,
            message: `${folder}/ may import only types from ${typesOnly.join(', ')}.`,
          },
        ]
      : []),
    {
      regex: '^@aws-sdk/',
      allowTypeImports: true,
      message: 'Load it with import() where it is used: a worker without S3 and RDS does not pay for it.',
    },
    ...(folder === 'workflows' || folder === 'plan' || folder === 'journal'
      ? [{ regex: '^node:', message: 'No I/O in here: this code runs inside workflows.' }]
      : []),
  ];
  return {
    files: [`${folder}/**/*.ts`],
    ignores: ['plan/json-schema.ts'],
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] },
  };
}

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'coverage/**', '.cutover/**'] },
  ...tseslint.configs.strictTypeChecked.map((config) => ({ ...config, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/require-await': 'off',
    },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-non-null-assertion': 'off' } },
  border('plan', []),
  border('journal', ['plan']),
  border('activities', ['plan', 'journal']),
  border('workflows', ['plan', 'journal'], ['activities']),
  border('worker', ['plan', 'journal', 'activities', 'workflows']),
  border('client', ['plan', 'journal', 'activities', 'workflows', 'worker', 'local']),
  border('local', ['plan', 'journal', 'activities', 'workflows', 'worker']),
  border('examples', ['plan', 'journal', 'activities', 'workflows', 'worker', 'client', 'local']),
  border('bench', ['plan', 'journal', 'activities', 'workflows', 'worker', 'client', 'local', 'examples']),
);
