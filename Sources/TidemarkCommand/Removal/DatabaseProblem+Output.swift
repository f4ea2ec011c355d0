import TidemarkPostgres

extension DatabaseProblem {
  var json: JSON {
    .object(["subject": JSON(subject), "problem": JSON(problem), "remedy": JSON(remedy)])
  }
}

extension [DatabaseProblem] {
  var table: Table {
    var table = Table([("WHAT", .left), ("PROBLEM", .left), ("WHAT TO DO", .left)])
    for problem in self { table.add([problem.subject, problem.problem, problem.remedy]) }
    return table
  }
}
