/* The page of the HTTP API: every operation, to read and to try. */

/* global SwaggerUIBundle */
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  // Its check of the document would send it to another host.
  validatorUrl: null,
});
