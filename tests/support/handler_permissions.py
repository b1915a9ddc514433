"""The IAM actions that CloudFormation needs for each resource type of the template.

From `handlers` and `tagging` in the schemas of the types (`aws cloudformation describe-type --type RESOURCE`), of
August 2026. Left out: the actions for properties that the template does not have (replicas, imports, streams, data
protection, SMS, VPCs, code signing), and the list handlers, which deployments do not call.
"""

from __future__ import annotations

from typing import Final

_VERBS: Final = "apigateway:DELETE apigateway:GET apigateway:PATCH apigateway:POST apigateway:PUT"

DELETES_DATA: Final = {
    "AWS::Cognito::UserPool": {"cognito-idp:DeleteUserPool"},
    "AWS::Cognito::UserPoolDomain": {"cognito-idp:DeleteUserPoolDomain"},
    "AWS::Cognito::UserPoolGroup": {"cognito-idp:DeleteGroup"},
    "AWS::Cognito::UserPoolUser": {"cognito-idp:AdminDeleteUser"},
    "AWS::DynamoDB::Table": {"dynamodb:DeleteTable"},
    "AWS::KMS::Key": {"kms:ScheduleKeyDeletion"},
}
"""The actions of the delete handlers of retained resources. A deployer does not have them."""

NEEDED: Final = {
    name: set(actions.split())
    for name, actions in {
        "AWS::ApiGateway::Deployment": _VERBS,
        "AWS::ApiGateway::RestApi": _VERBS,
        "AWS::ApiGateway::Stage": _VERBS,
        "AWS::CloudWatch::Alarm": "cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource "
        "cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource",
        "AWS::CloudWatch::Dashboard": "cloudwatch:DeleteDashboards cloudwatch:GetDashboard "
        "cloudwatch:ListTagsForResource cloudwatch:PutDashboard cloudwatch:TagResource cloudwatch:UntagResource",
        "AWS::Cognito::UserPool": "cognito-idp:AddCustomAttributes cognito-idp:CreateUserPool "
        "cognito-idp:DescribeUserPool cognito-idp:GetUserPoolMfaConfig cognito-idp:ListTagsForResource "
        "cognito-idp:SetUserPoolMfaConfig cognito-idp:TagResource cognito-idp:UntagResource cognito-idp:UpdateUserPool",
        "AWS::Cognito::UserPoolClient": "cognito-idp:CreateUserPoolClient cognito-idp:DeleteUserPoolClient "
        "cognito-idp:DescribeUserPoolClient cognito-idp:UpdateUserPoolClient",
        "AWS::Cognito::UserPoolDomain": "cognito-idp:CreateUserPoolDomain cognito-idp:DescribeUserPoolDomain "
        "cognito-idp:UpdateUserPoolDomain",
        "AWS::Cognito::UserPoolGroup": "cognito-idp:CreateGroup cognito-idp:GetGroup cognito-idp:UpdateGroup",
        "AWS::Cognito::UserPoolUser": "cognito-idp:AdminCreateUser cognito-idp:AdminGetUser",
        "AWS::Cognito::UserPoolUserToGroupAttachment": "cognito-idp:AdminAddUserToGroup "
        "cognito-idp:AdminListGroupsForUser cognito-idp:AdminRemoveUserFromGroup",
        "AWS::DynamoDB::Table": "dynamodb:CreateTable dynamodb:DescribeContinuousBackups "
        "dynamodb:DescribeContributorInsights dynamodb:DescribeKinesisStreamingDestination dynamodb:DescribeTable "
        "dynamodb:DescribeTimeToLive dynamodb:GetResourcePolicy dynamodb:ListTagsOfResource dynamodb:TagResource "
        "dynamodb:UntagResource dynamodb:UpdateContinuousBackups dynamodb:UpdateTable dynamodb:UpdateTimeToLive",
        "AWS::IAM::ManagedPolicy": "iam:CreatePolicy iam:CreatePolicyVersion iam:DeletePolicy iam:DeletePolicyVersion "
        "iam:GetPolicy iam:GetPolicyVersion iam:ListEntitiesForPolicy iam:ListPolicyVersions",
        "AWS::IAM::Role": "iam:CreateRole iam:DeleteRole iam:DeleteRolePolicy iam:GetRole iam:GetRolePolicy "
        "iam:ListAttachedRolePolicies iam:ListRolePolicies iam:ListRoleTags iam:PutRolePermissionsBoundary "
        "iam:PutRolePolicy iam:TagRole iam:UntagRole iam:UpdateAssumeRolePolicy iam:UpdateRole "
        "iam:UpdateRoleDescription",
        "AWS::KMS::Alias": "kms:CreateAlias kms:DeleteAlias kms:ListAliases kms:UpdateAlias",
        "AWS::KMS::Key": "kms:CreateKey kms:DescribeKey kms:EnableKeyRotation kms:GetKeyPolicy "
        "kms:GetKeyRotationStatus kms:ListResourceTags kms:PutKeyPolicy kms:TagResource kms:UntagResource "
        "kms:UpdateKeyDescription",
        "AWS::Lambda::Function": "iam:PassRole lambda:CreateFunction lambda:DeleteFunction "
        "lambda:DeleteFunctionConcurrency lambda:GetFunction lambda:GetFunctionCodeSigningConfig "
        "lambda:GetFunctionRecursionConfig lambda:GetFunctionScalingConfig lambda:GetLayerVersion "
        "lambda:GetRuntimeManagementConfig lambda:ListTags lambda:PutFunctionConcurrency lambda:TagResource "
        "lambda:UntagResource lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration s3:GetObject "
        "s3:GetObjectVersion",
        "AWS::Lambda::LayerVersion": "lambda:DeleteLayerVersion lambda:GetLayerVersion lambda:PublishLayerVersion "
        "s3:GetObject s3:GetObjectVersion",
        "AWS::Lambda::Permission": "lambda:AddPermission lambda:GetPolicy lambda:RemovePermission",
        "AWS::Logs::LogGroup": "logs:CreateLogGroup logs:DeleteLogGroup logs:DeleteRetentionPolicy "
        "logs:DescribeIndexPolicies logs:DescribeLogGroups logs:DescribeResourcePolicies logs:GetDataProtectionPolicy "
        "logs:ListTagsForResource logs:PutRetentionPolicy logs:TagResource logs:UntagResource",
        "AWS::Logs::MetricFilter": "logs:DeleteMetricFilter logs:DescribeMetricFilters logs:PutMetricFilter",
        "AWS::SNS::Subscription": "sns:GetSubscriptionAttributes sns:SetSubscriptionAttributes sns:Subscribe "
        "sns:Unsubscribe",
        "AWS::SNS::Topic": "sns:CreateTopic sns:DeleteTopic sns:GetDataProtectionPolicy sns:GetTopicAttributes "
        "sns:ListSubscriptionsByTopic sns:ListTagsForResource sns:SetTopicAttributes sns:TagResource "
        "sns:UntagResource",
        "AWS::SSM::Parameter": "ssm:AddTagsToResource ssm:DeleteParameter ssm:GetParameters ssm:ListTagsForResource "
        "ssm:PutParameter ssm:RemoveTagsFromResource",
    }.items()
}
"""The actions of the create, read, update and delete handlers, by type."""

OF_SAM: Final = {
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplateSummary",
    "s3:AbortMultipartUpload",
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:GetObjectVersion",
    "s3:ListBucket",
    "s3:PutObject",
}
"""The actions of `sam deploy` itself, from samcli/lib/deploy/deployer.py and samcli/lib/package/s3_uploader.py."""
