/** The package consists of ES modules: use `import`, or `await import()` in CommonJS. */
declare const useImportInsteadOfRequire: never;
export = useImportInsteadOfRequire;
