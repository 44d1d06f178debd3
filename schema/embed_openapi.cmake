# Writes ${OUT}: openapi.json of ${FOLDER} as a string literal, for schema/schema.h.
file(READ ${FOLDER}/openapi.json openapi)
file(WRITE ${OUT} "#include \"schema/schema.h\"\n\nnamespace sluice::schema {\n\n"
       "std::string_view openapi_json() {\n  return R\"schema(${openapi})schema\";\n}\n\n}  // namespace sluice::schema\n")
