"""botocore's errors as ours. A throttled call is never a failure of anything; one that went silent after sending is *unknown*."""

from __future__ import annotations

from typing import Any

from mlconsole.plugin.errors import (
    AuthFailed,
    BackendError,
    Conflict,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    Refused,
    Throttled,
    Unavailable,
)

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnauthorizedSSOToken"})
_AUTH = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden", "403"})
_NOT_FOUND = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NotFound", "ResourceNotFound", "ResourceNotFoundException"})
_CONFLICT = frozenset({"ConflictException", "ResourceInUse", "PreconditionFailed", "412"})
_LIMIT = frozenset({"ResourceLimitExceeded", "ServiceQuotaExceededException", "PayloadTooLargeException", "EntityTooLarge"})
_DOWN = frozenset({"InternalError", "InternalFailure", "InternalServerException", "ServiceUnavailable", "InternalServiceError"})


def is_missing(code: str, message: str) -> bool:
    """SageMaker says a missing thing as ValidationException: `Could not find endpoint …`."""
    missing = message.lower()
    return code in _NOT_FOUND or (code == "ValidationException" and ("could not find" in missing or "does not exist" in missing))


def is_throttling(error: object) -> bool:
    """Whether AWS said that it was asked too often, and did nothing else."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    told = response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    full = code == "LimitExceededException" and status == 400 and "exceed" in message.lower()  # a quota, not a rate
    return status == 429 or (code in _THROTTLED and not full)


def never_carried_out(error: Exception) -> bool:
    """Whether a call has surely changed nothing: it was throttled, or nobody was there to take it."""
    from botocore import exceptions

    return is_throttling(error) or isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError)


def translated(error: Exception, what: str, *, change: bool) -> BackendError:
    """The error of our tree for what botocore raised while `what` (`describe endpoint x`) was done; foreign text stays inside.

    Of an `AuthFailed` for which no `next` is said here, whoever knows the credentials says what to run.

    Args:
        change: it was a call that changes something; silence then leaves its outcome unknown.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _said(error, what, change=change)
    over = (exceptions.TokenRetrievalError, exceptions.SSOTokenLoadError, exceptions.UnauthorizedSSOTokenError, exceptions.LoginError)
    # botocore has no class of its own for keys that were renewed and are over all the same.
    if isinstance(error, over) or (isinstance(error, RuntimeError) and "still expired" in str(error)):
        return AuthFailed(f"AWS credentials have run out ({what}).")
    if isinstance(error, exceptions.NoCredentialsError):
        return AuthFailed(f"AWS credentials are missing ({what}).")
    unusable = (exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError, exceptions.RefreshWithMFAUnsupportedError)
    unreadable = (exceptions.InvalidConfigError, exceptions.ConfigParseError, exceptions.ConfigNotFound)
    if isinstance(error, (*unusable, *unreadable)):
        return AuthFailed(f"AWS credentials can't be had ({what}): {error}.")
    if isinstance(error, exceptions.ProfileNotFound):
        return AuthFailed(f"{error}.", next="See `aws configure list-profiles`, or change `profile:` in mlconsole.yaml.")
    if isinstance(error, exceptions.ParamValidationError):
        return InvalidRequest(f"AWS would not take that request ({what}): {error}")
    # Only where nobody took the call is it sure that nothing happened: every other silence after sending may have worked.
    if change and isinstance(error, exceptions.HTTPClientError) and not never_carried_out(error):
        return OutcomeUnknown(f"AWS did not answer ({what}). It may have worked or not.")
    return Unavailable(f"AWS can't be reached ({what}): {error}.", next="It is asked again by itself.")


def _said(error: Any, what: str, *, change: bool) -> BackendError:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
    text = f"AWS refused {what}: {message or code} ({code})."
    if is_throttling(error):
        return Throttled(f"AWS throttles ({what}): {message or code}.", next="It is asked again by itself.")
    if code in _EXPIRED:
        return AuthFailed(f"AWS credentials have run out ({what}).")
    if code in _AUTH:
        return AuthFailed(f"AWS credentials are not taken ({what}): {message or code}.")
    if code in _DENIED:
        return Refused(f"AWS does not allow {what}: {message or code}.", next="See what is needed: mlconsole plugins show aws --policy")
    if is_missing(code, message):
        return NotFound(f"AWS knows nothing of that ({what}): {message or code}.")
    if code in _CONFLICT:
        return Conflict(f"Somebody else changes it at AWS ({what}): {message or code}.", next="Look again, then decide.")
    if code in _LIMIT:
        return Refused(f"A limit of the AWS account is reached ({what}): {message or code}.", next="Ask for a higher quota, or free some.")
    if code in _DOWN or status >= 500:
        if change:
            return OutcomeUnknown(f"AWS broke off ({what}): {message or code}. It may have worked or not.")
        return Unavailable(f"AWS did not carry out {what}: {message or code}.", next="It is asked again by itself.")
    if code in ("ValidationException", "BadRequestException", "ValidationError", "InvalidParameterValue", "InvalidParameterCombination"):
        return InvalidRequest(text)
    return Refused(text)
