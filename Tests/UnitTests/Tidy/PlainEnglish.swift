import Testing

/// A habit over which a native reader stumbles. CONTRIBUTING.md says what to write instead.
struct PlainEnglish: Sendable, CustomTestStringConvertible {
  /// Named after what it finds and what to write.
  var rule: SourceRule
  /// One of these is in every place with the habit.
  private var words: [String]
  /// Sentences with the habit, and the same without it.
  var examples: [(before: String, after: String)]
  /// Sentences that look like it and are fine.
  var fine: [String]

  var testDescription: String { rule.name }

  /// - Parameter pattern: A space in it stands for any space between two words: also a line's end, with what marks
  ///   the next line as a comment.
  private init(
    _ name: String,
    words: [String],
    _ pattern: String,
    exceptions: Set<SourceRule.Exception> = [],
    _ examples: [(before: String, after: String)],
    fine: [String] = []
  ) {
    self.rule = SourceRule(
      name: name,
      pattern: pattern.replacing(" ", with: #"(?:\s|//+|#|--)+"#),
      exceptions: exceptions
    )
    self.words = words
    self.examples = examples
    self.fine = fine
  }

  /// The same as the rule's, but quick where the words are not.
  func check(_ file: SourceFile) throws -> (violations: [String], met: Set<SourceRule.Exception>) {
    guard words.contains(where: file.code.contains) else { return ([], []) }
    return try rule.check(file)
  }

  /// The texts that are checked: all that people read, but for this list.
  static func texts() throws -> [SourceFile] {
    let endings = [".swift", ".sql", ".md", ".sh", ".py"]
    let directories = ["Sources", "Tests", "Examples", "Benchmarks/Sources", "deploy"]
    let files =
      try directories.flatMap { try SourceFile.all(under: $0, endings: endings) }
      + SourceFile.atTop(endings: [".md"])
    return files.filter { $0.path != "Tests/UnitTests/Tidy/PlainEnglish.swift" }.map { file in
      var file = file
      // The first column of its tables shows what not to write.
      let isGuide = file.path == "CONTRIBUTING.md"
      file.code = isGuide ? file.text.replacing(/\n\|[^|\n]+\|/, with: "\n|") : file.text
      return file
    }
  }

  static let habits = [
    PlainEnglish(
      "behind a position: say after it",
      words: ["behind"],
      #"\b(?!(?:far|lags?|lagging|falls?|fell|fallen|falling) )\w+ behind "#
        + #"(?!(?:an?|the) (?:(?:transaction|connection) )?(?:pooler|proxy|mutex|server)\b)"#
        + #"(?:an?|the|its?|them|this|that|these|those|any|each|every|all|what|which|whom|another)\b"#,
      [
        ("The worker goes on behind its last checkpoint.", "The worker resumes after its last checkpoint."),
        (
          "The position behind\n  /// which this reader began.",
          "The position after which this reader started."
        ),
      ],
      fine: [
        "The worker runs behind a pooler.", "How far behind the reader is.",
        "The reader fell behind the stream.",
        "It leaves nothing behind.", "let behind = page.millisBehindLatest",
        "A standby lags behind the primary.",
      ]
    ),
    PlainEnglish(
      "anew: say again",
      words: ["anew"],
      #"[^\w-]anew(?![\w-])"#,
      [("The session is opened anew.", "The session is opened again.")],
      fine: ["\"reader-is-opened-anew-at-latest\"", "a newer one"]
    ),
    PlainEnglish(
      "is told, is looked or is waited: say who does it",
      words: ["told", "looked", "waited"],
      #"\b(?:is|are|was|were|be|been|being|gets?) (?:(?:not|never|only|also|then|once|still|already) )?"#
        + #"(?:told(?! (?:apart|from)\b)|waited\b|looked(?! up\b))"#,
      [
        ("The end of all transactions is waited for.", "It waits for the end of all transactions."),
        ("It is told once a call.", "It is reported once per call."),
        (
          "How often it is\n    // looked whether the slot is free.",
          "How often to check whether the slot is free."
        ),
      ],
      fine: [
        "The two cannot be told apart.", "The type is looked up.", "case told(String)", "It waited for it.",
      ]
    ),
    PlainEnglish(
      "who without a noun: say the caller that, the user who, or if you",
      words: ["who", "Who"],
      #"\bWho (?=[a-z])(?![^.?!]*\?)|[:;(] who\b"#
        + #"|\b(?:by|to|for|from|with|than|because|as|of|only|that|when|if|since|so|is|are|was) who\b"#,
      [
        ("Who calls this waits for the answer.", "A caller of this waits for the answer."),
        ("It is for who wants all.", "It is for a caller that wants all."),
        (
          "because\n-- who lets it pass may not judge others",
          "because a worker that lets it pass may not judge others"
        ),
      ],
      fine: [
        "Only the user who owns the table may.", "It names the session and says who holds it.",
        "Who else reads this shard?", "for whoever comes next",
      ]
    ),
    PlainEnglish(
      "stands in a place: say is in it, or it contains",
      words: ["stand", "stood"],
      #"\b(?:stands?|stood|standing) in\b(?! the way\b)"#,
      [
        ("The name stands\n# in leases.", "Leases contain the name."),
        ("It stood in a row.", "It was in a row."),
      ],
      fine: [
        "A star stands for any characters.", "A session stands in the way.",
        "The standing instruction holds.",
      ]
    ),
    PlainEnglish(
      "stops to do something: say stops doing it",
      words: ["stop"],
      #"\bstop(?:s|ped)? to (?!(?:an?|the|its) )[a-z]"#,
      [("A worker stops to trust its leases.", "A worker stops trusting its leases.")],
      fine: ["It stops. To start it again, run this.", "A lease that is not stopped to its owner."]
    ),
  ]
}
