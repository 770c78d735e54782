"""Whether a message is as the AsyncAPI document says."""

from jsonschema_rs import Draft202012Validator


def validate_message(document, name, headers, payload=None):
    """Validate a message's headers, as text, and its payload; None: its value is no JSON.

    Raises:
        jsonschema_rs.ValidationError: with what is wrong.
    """
    message = document["components"]["messages"][name]
    traits = [
        document["components"]["messageTraits"][one["$ref"].rpartition("/")[2]]
        for one in message.get("traits", ())
    ]
    described = [one["headers"] for one in traits]
    if "headers" in message:
        described.append(message["headers"])
    for schema in described:
        Draft202012Validator(schema, validate_formats=True).validate(headers)
    assert (payload is None) == ("payload" not in message)
    if payload is not None:
        schema = {"components": document["components"], "$ref": message["payload"]["$ref"]}
        Draft202012Validator(schema, validate_formats=True).validate(payload)
