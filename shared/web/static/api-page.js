// The API page: the installed Swagger UI reads 3.0, and what we use of 3.1 it shows the same.
const place = document.getElementById("swagger-ui");
fetch(place.dataset.schema)
  .then((answer) => answer.json())
  .then((spec) => {
    spec.openapi = "3.0.3";
    window.SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, defaultModelsExpandDepth: 0 });
  });
