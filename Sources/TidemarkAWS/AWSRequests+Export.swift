#if AWS
// How AWS is reached is set with its types, so that users of a source need not name another module.
@_exported import AWSRequests
#endif
