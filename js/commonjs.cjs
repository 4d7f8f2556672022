throw new Error('@rohrpost/client is an ES module: use import, or await import("@rohrpost/client") in CommonJS.');
